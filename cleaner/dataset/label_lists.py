"""Reads lists of labelled images, for `cleaner scan --labels FILE`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from cleaner.dataset.tables import plain_names, read_table, refuse, require_columns, with_rows
from cleaner.errors import BadInputError


def read_labels(path: Path) -> pd.DataFrame:
    """A list of labelled images: columns `file_name` and `label`, and `split` if the table has one.

    One row per file name, in the table's order, all cells text; a leading `./` of a file name is removed.
    The index holds the row's number in the file, for messages. Raises BadInputError, naming file and row, for a
    missing column, an empty cell, a file name listed twice, or one that is not relative to the images root.
    """
    table = read_table(path)
    require_columns(table, path, ("file_name", "label"))
    if table.empty:
        raise BadInputError(f"{path}: holds no rows below its header", expected="one row for each image")
    table = table[["file_name", "label", *(["split"] if "split" in table else [])]].copy()
    for name, column in table.items():
        refuse(path, with_rows(column[column == ""]), f"empty cells in the column {name}")
    refuse(
        path,
        with_rows(table.loc[[not _is_relative(name) for name in table["file_name"]], "file_name"]),
        "file names that cannot be used",
        expected="paths relative to the images root, such as cat/001.jpg",
    )
    table["file_name"] = plain_names(table["file_name"])
    again = table.loc[table["file_name"].duplicated(), "file_name"]
    if len(again):
        _refuse_repeated(path, table[table["file_name"] == again.iloc[0]].head(2))
    return table


def _is_relative(name: str) -> bool:
    pure = PurePosixPath(name)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _refuse_repeated(path: Path, rows: pd.DataFrame) -> None:
    """Raise BadInputError for two rows of one file name."""
    (first, here), values = rows.index, rows.drop(columns="file_name")
    how = "twice" if values.duplicated().any() else "again, with other values"
    found = [f"row {row}: " + ", ".join(f"{c} {v!r}" for c, v in values.loc[row].items()) for row in (first, here)]
    raise BadInputError(
        f"{path}, row {here}: file_name {rows['file_name'].iloc[0]!r} is listed {how}",
        expected="each file name once",
        found="; ".join(found),
        next_step=f"remove one of the rows from {path.name} and run again",
    )
