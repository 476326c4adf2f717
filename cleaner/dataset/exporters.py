"""The cleaned set as folders that torchvision's `ImageFolder` reads, or as one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from cleaner.dataset.export_files import ExportedFile, Mode, new_folder, place_file
from cleaner.dataset.export_plan import CLASS_NAMES_FILE, CLASSES_FILE, REPEATS_FILE, plan_folder, require_contents
from cleaner.dataset.locations import is_remote
from cleaner.dataset.table_text import DELIMITERS
from cleaner.dataset.tables import write_table_file
from cleaner.errors import BadInputError, UsageError, first_few
from cleaner.progress import Progress, Silent

Repeats = Literal["files", "csv", "ignore"]

_CSV_COLUMNS = ["file_name", "clean_label", "split", "label", "image_id", "keep", "drop_stage", "drop_reason"]
COLUMNS = [*_CSV_COLUMNS, "format", "fault", "file_bytes"]
"""The columns of a manifest that an export reads, besides `repeats` if there is one."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export wrote."""

    out: Path
    classes: list[str]
    """In a folder the names of the class folders, in the order in which ImageFolder numbers them."""
    num_files: int
    """Kept images, each counted once."""
    num_repeats: int = 0
    """Additional files or rows for images that are repeated."""
    num_dropped: int = 0
    """Dropped images that were written as well."""
    num_copied: int = 0
    """Files copied because they could not be hard-linked."""
    warnings: list[str] = field(default_factory=list)


def export_folder(
    manifest: pd.DataFrame,
    images_root: Path,
    out: Path,
    *,
    mode: Mode = "hardlink",
    repeats: Repeats = "files",
    dropped: bool = False,
    convert: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> ExportResult:
    """Write the kept images as `OUT/<clean_label>/<name>`, and `classes.txt`, the class folders in ImageFolder's order.

    With several splits, or with `dropped`, each split has a folder of its own: `OUT/train/<clean_label>/<name>`;
    every split then has a folder for every class, so that ImageFolder numbers them alike. `dropped` writes the dropped
    images to `OUT/dropped/<stage>-<reason>/<label>/`. `repeats`: `files` writes an image that is repeated n times under
    n names, `csv` lists the numbers in `repeats.csv`. Files that ImageFolder would not recognise as images get the
    extension of their format; those of a format that it does not read stay as they are, or with `convert` become PNG.
    A class whose name no folder can have gets another one (see `folder_names`); then `classes.csv` has a row for each
    class, with its folder and its label. The source images are never changed; but a hard link is the same file, so
    editing the export in place edits the source (use `copy` then). Where no hard link is possible the file is copied.
    What is copied is compared with its `image_id`; with `verify`, so is what is only linked.

    OUT must be absent or empty; it appears once everything is written, and never with `dry_run`. Raises UsageError if
    OUT cannot be used, BadInputError if ImageFolder could read no image of a class, or a source file is missing or
    changed.
    """
    _check_out(out, images_root, folder=True)
    kept, classes, warnings = _kept_rows(manifest)
    rest = manifest.loc[~manifest["keep"]] if dropped else None
    once = kept if repeats == "files" else kept.assign(repeats=1)
    plan = plan_folder(once, classes, rest, images_root, convert=convert)
    if verify and mode != "copy":
        require_contents(kept, images_root, progress or Silent())
    num_copied = 0
    if not dry_run:
        files = [*plan.kept, *plan.dropped]
        with new_folder(out) as temporary, (progress or Silent()).task("export", len(files)) as task:
            for folder in plan.folders:
                (temporary / folder).mkdir(parents=True)
            for file in files:
                num_copied += place_file(temporary, file, mode)
                task.advance()
            (temporary / CLASSES_FILE).write_bytes("".join(f"{c}\n" for c in plan.classes).encode())
            if plan.is_renamed:
                table = pd.DataFrame(plan.classes.items(), columns=["folder", "label"])
                write_table_file(temporary / CLASS_NAMES_FILE, table)
            if repeats == "csv":
                write_table_file(temporary / REPEATS_FILE, _repeats_table(kept, plan.kept))
    return ExportResult(
        out=out,
        classes=list(plan.classes),
        num_files=len(plan.kept),
        num_repeats=sum(len(file.repeats) for file in plan.kept),
        num_dropped=len(plan.dropped),
        num_copied=num_copied,
        warnings=[*warnings, *plan.warnings],
    )


def export_csv(
    manifest: pd.DataFrame,
    out: Path,
    *,
    repeats: Repeats = "csv",
    dropped: bool = False,
    spreadsheet_safe: bool = False,
    verify_in: Path | None = None,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> ExportResult:
    """Write the kept rows as one table (.csv, .tsv, .jsonl, .parquet): file_name, clean_label, split, label, image_id.

    `repeats`: `csv` adds the column, `files` repeats the row, `ignore` does neither. `dropped` adds the dropped rows,
    with keep, drop_stage and drop_reason. `spreadsheet_safe`: see `write_table_file`. With `verify_in`, the
    images root, every image that is kept is read and compared with its `image_id`. OUT must not exist; raises
    UsageError if it does, BadInputError for an image that changed.
    """
    _check_out(out, None, folder=False)
    kept, classes, warnings = _kept_rows(manifest)
    if verify_in is not None:
        require_contents(kept, verify_in, progress or Silent())
    rows = kept
    if dropped:
        rows = pd.concat([kept, _with_repeats(manifest.loc[~manifest["keep"]])]).sort_values("file_name", kind="stable")
    columns = [c for c in _CSV_COLUMNS if dropped or c not in ("keep", "drop_stage", "drop_reason")]
    if repeats == "files":
        rows = rows.loc[rows.index.repeat(rows["repeats"].clip(lower=0 if not dropped else 1))]
    table = rows[[*columns, "repeats"] if repeats == "csv" else columns]
    if changed := labels_changed_by_pandas(classes) if out.suffix.lower() in DELIMITERS else []:
        warnings.append(
            f"a plain pandas.read_csv changes labels ({first_few(changed)}): read it with "
            f"read_csv(…, dtype={{'clean_label': str, 'label': str}}, keep_default_na=False), or export .parquet"
        )
    if not dry_run:
        write_table_file(out, table, spreadsheet_safe=spreadsheet_safe)
    return ExportResult(
        out=out,
        classes=classes,
        num_files=len(kept),
        num_repeats=int((kept["repeats"] - 1).clip(lower=0).sum()) if repeats == "files" else 0,
        num_dropped=int((~manifest["keep"]).sum()) if dropped else 0,
        warnings=warnings,
    )


def labels_changed_by_pandas(labels: Sequence[str]) -> list[str]:
    """Those of `labels` that pandas.read_csv, as it is called by default, would not read as the same text."""
    text = pd.DataFrame({"label": labels}).to_csv(index=False, quoting=csv.QUOTE_ALL)
    read = pd.read_csv(io.StringIO(text, newline=""), skip_blank_lines=False)["label"].tolist()
    return [label for label, value in zip(labels, read, strict=True) if value != label]


def _with_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    if "repeats" in rows.columns:
        return rows
    return rows.assign(repeats=rows["keep"].to_numpy(dtype="int32"))


def _kept_rows(manifest: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The kept rows by file_name, the classes (those of `train`, where there is one), and warnings.

    Rows of other splits whose class has no training image left are not exported: a model cannot know the class, and
    its folder would shift the numbers of all classes after it.
    """
    kept = _with_repeats(manifest.loc[manifest["keep"]]).sort_values("file_name", kind="stable")
    if kept.empty:
        raise BadInputError("no image is kept: there is nothing to export", next_step="see drop_reason in the manifest")
    in_train = kept["split"] == "train"
    classes = sorted(set(kept.loc[in_train, "clean_label"] if in_train.any() else kept["clean_label"]))
    strange = ~kept["clean_label"].isin(classes)
    if not strange.any():
        return kept, classes, []
    names = first_few(sorted(set(kept.loc[strange, "clean_label"])))
    warning = f"{int(strange.sum())} images of other splits are left out: no training image of their class ({names})"
    return kept.loc[~strange], classes, [warning]


def _check_out(out: Path, images_root: Path | None, *, folder: bool) -> None:
    if images_root is not None and is_remote(images_root):
        raise UsageError(
            f"{images_root}: an image folder can only be made of local files",
            next_step="export a list (--to csv, parquet …), or fetch the images and scan them here",
        )
    if images_root is not None and out.resolve().is_relative_to(images_root.resolve()):
        raise UsageError(f"{out} lies among the source images in {images_root}", next_step="name another folder")
    taken = out.exists() and not (folder and out.is_dir() and not any(out.iterdir()))
    if taken or out.is_symlink():
        rule = "a folder that is empty or does not exist" if folder else "a file that does not exist"
        raise UsageError(f"{out}: already exists", expected=rule, next_step="choose another name, or remove it")


def _repeats_table(kept: pd.DataFrame, exported: list[ExportedFile]) -> pd.DataFrame:
    table = kept[["file_name", "clean_label", "split", "repeats"]].copy()
    table.insert(0, "path", pd.Series([f.target.as_posix() for f in exported], index=kept.index, dtype=object))
    return table
