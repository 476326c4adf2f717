"""Lists of labelled images: what `cleaner scan --labels FILE` reads."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from cleaner.dataset.tables import read_table, require_columns
from cleaner.errors import BadInputError


def read_labels(path: Path) -> pd.DataFrame:
    """A list of labelled images: columns `file_name` and `label`, and `split` if the table has one.

    One row per file name, in the table's order, all cells text; a leading `./` of a file name is taken off.
    The index holds the row's number in the file, for messages. Raises BadInputError, naming file and row, for a
    missing column, an empty cell, a file name listed twice, or one that is not relative to the images root.
    """
    table = read_table(path)
    require_columns(table, path, ("file_name", "label"))
    if table.empty:
        raise BadInputError(f"{path}: holds no rows below its header", expected="one row for each image")
    columns = ["file_name", "label"] + [c for c in ("split",) if c in table.columns]
    table = table[columns].copy()
    _refuse_empty(path, table)
    names = zip(table.index, table["file_name"], strict=True)
    table["file_name"] = [_relative_name(path, row, name) for row, name in names]
    again = table["file_name"].duplicated(keep="first").to_numpy()
    if again.any():
        _refuse_repeated(path, table, int(again.argmax()))
    return table


def _relative_name(path: Path, row: int, name: str) -> str:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise BadInputError(
            f"{path}, row {row}: file_name {name!r} cannot be used",
            expected="a path relative to the images root, such as cat/001.jpg",
            next_step=f"mend {path.name} and run again",
        )
    return str(pure)


def _refuse_repeated(path: Path, table: pd.DataFrame, position: int) -> None:
    name, row = table["file_name"].iloc[position], table.index[position]
    first = table[table["file_name"] == name].iloc[0]
    first_row = table.index[int((table["file_name"] == name).to_numpy().argmax())]
    rest = [c for c in table.columns if c != "file_name"]
    same = all(first[c] == table[c].iloc[position] for c in rest)
    earlier = ", ".join(f"{c} {first[c]!r}" for c in rest)
    here = ", ".join(f"{c} {table[c].iloc[position]!r}" for c in rest)
    raise BadInputError(
        f"{path}, row {row}: file_name {name!r} is listed {'twice' if same else 'again, with other values'}",
        expected="each file name once",
        found=f"row {first_row}: {earlier}; row {row}: {here}",
        next_step=f"take one of the rows out of {path.name} and run again",
    )


def _refuse_empty(path: Path, table: pd.DataFrame) -> None:
    for column in table.columns:
        empty = (table[column] == "").to_numpy()
        if empty.any():
            raise BadInputError(
                f"{path}, row {table.index[int(empty.argmax())]}: column {column} is empty",
                found=f"{int(empty.sum())} empty in this column",
                next_step=f"fill it in {path.name}, or take the row out, and run again",
            )
