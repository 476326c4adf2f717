"""Reads lists of labelled images, for `cleaner scan --labels FILE`."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.names import matching_names
from cleaner.dataset.tables import read_table, refuse, require_columns, with_rows
from cleaner.errors import BadInputError, first_few

VOTES_FILE = "votes.parquet"
"""In the folder of the scan: the votes of a list of annotators."""
_COLUMNS = {"file": "file_name", "label": "label", "split": "split", "annotator": "annotator"}
"""What `--columns` may name, and the column that is read where it names none."""


@dataclass(frozen=True)
class LabelList:
    """A list of labelled images, one row for each file."""

    table: pd.DataFrame
    """Columns file_name, label and, if the list has it, split: text; by file_name."""
    votes: pd.DataFrame | None = None
    """How often annotators gave each label: columns file_name, label, votes (int32), share (float32, of the votes on
    the file), by file_name, the most frequent first; None for a list without annotators."""
    warnings: list[str] = field(default_factory=list)


def read_labels(path: Path, root: Path, known: Collection[str], columns: Mapping[str, str] | None = None) -> LabelList:
    """The images and labels that a table lists, for the files `known` below the images root `root`.

    `columns` gives the names of the columns file, label, split and annotator where they differ. File names are relative
    to the root, or absolute and below it; one that is not `known` stands for the known one that differs in its Unicode
    form alone. Equal rows count once. With a column of annotators, a file has one row for each: its label is the most
    frequent one, of equally frequent ones the first by name.

    Raises BadInputError, naming file and row, for a missing column, an empty cell, a file name that leads out of the
    root, or one that is listed again with other values.
    """
    table = _read_columns(path, dict(columns or {}))
    for name, column in table.drop(columns="annotator", errors="ignore").items():
        refuse(path, with_rows(column[column == ""]), f"empty cells in the column {name}")
    roots = (os.fspath(root), os.path.realpath(root))
    inside = table["file_name"].map(lambda name: _below(roots, name))
    outside = table.loc[inside == "", "file_name"]
    refuse(
        path,
        with_rows(outside),
        f"file names that are not below {root}",
        expected="paths relative to the images root, such as cat/001.jpg, or absolute ones below it",
        next_step=_advice(outside, root),
    )
    table["file_name"] = matching_names(inside, known)
    table = table[~table.duplicated()]
    if "annotator" in table:
        return _of_votes(path, table)
    again = table.loc[table["file_name"].duplicated(), "file_name"]
    if len(again):
        _refuse_repeated(path, table[table["file_name"] == again.iloc[0]].head(2))
    return LabelList(table.sort_values("file_name", kind="stable"))


def _read_columns(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """The columns of the table that are used, under their own names."""
    if path.suffix.lower() == ".txt":
        return _read_lines(path)
    table = read_table(path)
    if is_manifest(path):
        table = _cleaned(table)
    named = _COLUMNS | columns
    wanted = tuple(name for key, name in named.items() if key in {"file", "label", *columns})
    require_columns(table, path, wanted, next_step="say which columns to read: --columns file=…,label=…")
    if table.empty:
        raise BadInputError(
            f"{path}: holds no rows below its header", expected="one row for each image", next_step="add them"
        )
    return pd.DataFrame({own: table[named[key]] for key, own in _COLUMNS.items() if named[key] in table})


def _read_lines(path: Path) -> pd.DataFrame:
    """A list of lines `NAME LABEL`, with a blank or tab between, as timm, Caffe and torchvision's users have them."""
    rows, bad = {}, {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read", found=str(error), next_step="save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        parts = line.strip().rsplit("\t" if "\t" in line.strip() else None, 1)
        if len(parts) == 2:
            rows[number] = parts
        elif parts:
            bad[number] = line
    refuse(
        path,
        with_rows(pd.Series(bad, dtype=object)),
        "lines without a label",
        expected="a file name, a blank or tab, and its label on each line",
    )
    if not rows:
        raise BadInputError(f"{path}: holds no lines", expected="one line for each image: its name and its label")
    return pd.DataFrame.from_dict(rows, orient="index", columns=["file_name", "label"], dtype=object)


def is_manifest(path: Path) -> bool:
    """Whether a table is a manifest of an earlier run."""
    if path.suffix.lower() != ".parquet":
        return False
    from cleaner.dataset.manifest import manifest_stage

    return bool(manifest_stage(path))


def _cleaned(manifest: pd.DataFrame) -> pd.DataFrame:
    """What an earlier run kept, under the labels that it ended with."""
    kept = manifest[manifest["keep"] == "true"]
    return kept.assign(label=kept["clean_label"])


def _below(roots: Sequence[str], name: str) -> str:
    """A listed name relative to the images root, of which `roots` are spellings; '' if it leads out of it."""
    if name.startswith("/"):
        inside = [os.path.relpath(name, folder) for folder in roots]
        name = next((n for n in inside if not n.startswith("..")), "")
    parts = [part for part in name.split("/") if part not in ("", ".")]  # a Path for each of a million takes a minute
    return "" if ".." in parts else "/".join(parts)


def _advice(outside: pd.Series[str], root: Path) -> str:
    """What to do about listed files outside of the images root: scan a folder that holds them all, if there is one."""
    if all(map(os.path.isabs, outside)):
        common = os.path.commonpath([os.fspath(root), *outside])
        if common != os.sep:
            return f"scan a folder that holds them all: cleaner scan {common}"
    return "correct or remove them, then run again"


def _refuse_repeated(path: Path, rows: pd.DataFrame) -> None:
    """Raise BadInputError for two rows of one file name that differ."""
    (first, here), values = rows.index, rows.drop(columns="file_name")
    found = [f"row {row}: " + ", ".join(f"{c} {v!r}" for c, v in values.loc[row].items()) for row in (first, here)]
    raise BadInputError(
        f"{path}, row {here}: file_name {rows['file_name'].iloc[0]!r} is listed again, with other values",
        expected="each file name once, or a column that names the annotator of each row (--columns annotator=…)",
        found="; ".join(found),
        next_step=f"remove one of the rows from {path.name} and run again",
    )


def _of_votes(path: Path, table: pd.DataFrame) -> LabelList:
    """One row for each file of a table with one for each file and annotator."""
    twice = table[table.duplicated(["file_name", "annotator"], keep=False)]
    if len(twice):
        same = twice[(twice[["file_name", "annotator"]] == twice[["file_name", "annotator"]].iloc[0]).all(axis=1)]
        _refuse_repeated(path, same.head(2))
    if "split" in table:
        splits = table.drop_duplicates(["file_name", "split"])
        again = splits.loc[splits["file_name"].duplicated(), "file_name"]
        if len(again):
            _refuse_repeated(path, splits[splits["file_name"] == again.iloc[0]].head(2))
    votes = table.groupby(["file_name", "label"], sort=True).size().rename("votes").reset_index()
    votes = votes.sort_values(["file_name", "votes"], ascending=[True, False], kind="stable", ignore_index=True)
    by_file = votes.groupby("file_name")["votes"]
    first = ~votes["file_name"].duplicated()
    tied = votes.loc[(votes["votes"] == by_file.transform("max")) & ~first, "file_name"].unique().tolist()
    votes = votes.assign(
        share=(votes["votes"] / by_file.transform("sum")).astype(np.float32), votes=votes["votes"].astype(np.int32)
    )
    listed = votes.loc[first, ["file_name", "label"]]
    if "split" in table:
        listed = listed.merge(table[["file_name", "split"]].drop_duplicates(), on="file_name")
    warnings = []
    if tied:
        warnings.append(
            f"annotators are divided over {len(tied):,} files: the first label by name stands: {first_few(tied)}"
        )
    return LabelList(listed.reset_index(drop=True), votes, warnings)
