"""Reads and writes people's tables: CSV, TSV and Parquet, where text stays text (`NA`, `007`, `null`)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cleaner.dataset.store import atomic_writer
from cleaner.errors import BadInputError, UsageError, first_few

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = (".parquet", ".pq")
_TRUTH = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}
_PIECE_ROWS = 65_536  # about 10 MB of text at once


def read_table(path: Path) -> pd.DataFrame:
    """A table with every value as text; the index numbers the rows as a person would.

    In CSV and TSV that is the line on which a row begins (the header is line 1), in Parquet the row, from 1.
    Empty and null values are '', truth values `true` and `false`. Raises BadInputError naming the file and the row.
    """
    suffix = path.suffix.lower()
    if suffix not in _DELIMITERS and suffix not in _PARQUET:
        raise BadInputError(f"{path}: not a table that can be read", expected="a file named .csv, .tsv or .parquet")
    try:
        return _read_parquet(path) if suffix in _PARQUET else _read_text(path, _DELIMITERS[suffix])
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file", next_step="check the path") from error
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read", found=str(error)) from error


def write_table_file(path: Path, frame: pd.DataFrame) -> None:
    """Write a table in the format of its name (.csv, .tsv, .parquet), whole or not at all; nulls become '' in text.

    In text, values that a spreadsheet would run as formulas get an apostrophe, which `read_table` removes again.
    Raises UsageError for any other name.
    """
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        with atomic_writer(path) as file:
            pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file, compression="zstd")
    elif suffix in _DELIMITERS:
        with atomic_writer(path) as file:
            for start in range(0, max(1, len(frame)), _PIECE_ROWS):
                piece = frame.iloc[start : start + _PIECE_ROWS].map(_guarded)
                text = piece.to_csv(index=False, header=not start, sep=_DELIMITERS[suffix], lineterminator="\n")
                file.write(text.encode("utf-8", "surrogateescape"))
    else:
        raise UsageError(f"{path}: unknown kind of table", expected="a name that ends in .csv, .tsv or .parquet")


def _guarded(value: Any) -> Any:
    """A value, after an apostrophe if a spreadsheet would run it as a formula (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _unguarded(value: str) -> str:
    return value[1:] if value.startswith("'") and value[1:].startswith(_FORMULA) else value


def require_columns(frame: pd.DataFrame, path: Path, needed: tuple[str, ...]) -> None:
    """Raise BadInputError unless `frame`, read from `path`, has the columns `needed`."""
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise BadInputError(
            f"{path}: column {', '.join(absent)} is missing",
            expected=f"columns {', '.join(needed)}",
            found=", ".join(map(str, frame.columns)) or "nothing",
        )


def refuse(
    path: Path,
    wrong: Sequence[str],
    what: str,
    *,
    expected: str = "",
    next_step: str = "correct or remove them, then run again",
) -> None:
    """Raise BadInputError if there are `wrong` values in `path`, with their number and the first few."""
    if wrong:
        raise BadInputError(
            f"{path}: {len(wrong)} {what}", expected=expected, found=first_few(wrong), next_step=next_step
        )


def with_rows(values: pd.Series[str]) -> list[str]:
    """Values of a column from `read_table`, each with its row, for a message."""
    return [f"{text!r} (row {row})" for row, text in values.items()]


def read_truth(values: pd.Series[str], path: Path) -> pd.Series[bool]:
    """A column of truth values: true/false, 1/0, yes/no in any case. Raises BadInputError for other values."""
    truth = values.str.strip().str.lower().map(_TRUTH)
    what, expected = f"values of {values.name} are neither true nor false", "true or false, 1 or 0, yes or no"
    refuse(path, with_rows(values[truth.isna()]), what, expected=expected)
    return truth.astype(bool)


def plain_names(names: pd.Series[str]) -> pd.Series[str]:
    """File names as a manifest has them: without a leading `./` or doubled slashes; '' stays ''."""
    return names.map(lambda name: str(PurePosixPath(name)) if name else name)


def _read_text(path: Path, delimiter: str) -> pd.DataFrame:
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            before = reader.line_num
            for row in reader:
                if row and len(row) != len(header):
                    raise BadInputError(
                        f"{path}, row {before + 1}: not as many fields as the header",
                        expected=str(len(header)),
                        found=str(len(row)),
                    )
                if row:
                    rows.append([_unguarded(value) for value in row])
                    numbers.append(before + 1)
                before = reader.line_num
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: not UTF-8", found=str(error), next_step="save it as UTF-8") from error
    except csv.Error as error:
        raise BadInputError(f"{path}, line {reader.line_num}: not valid CSV", found=str(error)) from error
    _check_header(path, header)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    index = pd.Index(numbers, name="row", dtype="int64")
    return pd.DataFrame(
        {name: pd.Series(list(values), dtype=object, index=index) for name, values in zip(header, columns, strict=True)}
    )


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise BadInputError(f"{path}: not a Parquet file", found=str(error)) from error
    _check_header(path, table.column_names)
    index = pd.RangeIndex(1, table.num_rows + 1, name="row")
    return pd.DataFrame(
        {
            name: pd.Series([_text(value) for value in table.column(name).to_pylist()], dtype=object, index=index)
            for name in table.column_names
        }
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise BadInputError(f"{path}: empty", expected="a header with the names of the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInputError(f"{path}: column {', '.join(twice)} appears twice")
