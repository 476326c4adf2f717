"""People's tables: CSV, TSV, JSON lines and Parquet, where text stays text (`NA`, `007`, `null`)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cleaner.dataset.store import atomic_writer
from cleaner.dataset.table_text import DELIMITERS, JSON_LINES, TextRows, guarded, read_csv_rows, read_json_rows
from cleaner.errors import BadInputError, UsageError, first_few
from cleaner.reading import reading

_PARQUET = (".parquet", ".pq")
_SUFFIXES = (*DELIMITERS, *JSON_LINES, *_PARQUET)
_TRUTH = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}
_MEND = "save it again, and run again"
_PIECE_ROWS = 65_536  # about 10 MB of text at once


def is_table_name(path: Path) -> bool:
    """Whether the name of a file says that it is a table which can be read and written."""
    return path.suffix.lower() in _SUFFIXES


def read_table(path: Path) -> pd.DataFrame:
    """A table with every value as text; the index numbers the rows as a person would.

    In CSV, TSV and JSON lines that is the line on which a row begins (a header is line 1), in Parquet the row, from 1.
    Empty and null values are '', truth values `true` and `false`; columns of lists or objects are left out. Raises
    BadInputError naming the file and the row.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise BadInputError(
            f"{path}: not a table that can be read", expected="a file named .csv, .tsv, .jsonl or .parquet"
        )
    with reading(path, "Parquet file" if suffix in _PARQUET else "table", _MEND, absent="check the path"):
        if suffix in _PARQUET:
            return _read_parquet(path)
        return _frame(path, read_json_rows(path) if suffix in JSON_LINES else read_csv_rows(path))


def write_table_file(path: Path, frame: pd.DataFrame, *, spreadsheet_safe: bool = False) -> None:
    """Write a table in the format of its name (.csv, .tsv, .jsonl, .parquet), whole or not at all.

    In CSV and TSV all text is in quotes, so that no character of it breaks a row, and nulls are ''. For people who open
    the file in a spreadsheet, `spreadsheet_safe` puts an apostrophe before texts that would be run as formulas, which
    `read_table` removes again, and a byte order mark in front. Raises UsageError for any other name.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            f"{path}: unknown kind of table", expected="a name that ends in .csv, .tsv, .jsonl or .parquet"
        )
    with atomic_writer(path) as file:
        if suffix in _PARQUET:
            pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file, compression="zstd")
            return
        file.write(b"\xef\xbb\xbf" if spreadsheet_safe and suffix in DELIMITERS else b"")
        for start in range(0, max(1, len(frame)), _PIECE_ROWS):
            piece = frame.iloc[start : start + _PIECE_ROWS]
            if suffix in JSON_LINES:
                text = piece.to_json(orient="records", lines=True, force_ascii=False) if len(piece) else ""
            else:
                text = (piece.map(guarded) if spreadsheet_safe else piece).to_csv(
                    index=False,
                    header=not start,
                    sep=DELIMITERS[suffix],
                    lineterminator="\n",
                    quoting=csv.QUOTE_NONNUMERIC,
                )
            file.write(text.encode("utf-8", "surrogateescape"))


def require_columns(frame: pd.DataFrame, path: Path, needed: tuple[str, ...], *, next_step: str = _MEND) -> None:
    """Raise BadInputError unless `frame`, read from `path`, has the columns `needed`."""
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise BadInputError(
            f"{path}: column {', '.join(absent)} is missing",
            expected=f"columns {', '.join(needed)}",
            found=", ".join(map(str, frame.columns)) or "nothing",
            next_step=next_step,
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


def _frame(path: Path, table: TextRows) -> pd.DataFrame:
    _check_header(path, table.header)
    columns = list(zip(*table.rows, strict=True)) if table.rows else [()] * len(table.header)
    index = pd.Index(table.numbers, name="row", dtype="int64")
    named = zip(table.header, columns, strict=True)
    return pd.DataFrame({name: pd.Series(list(values), dtype=object, index=index) for name, values in named})


def _read_parquet(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:
        table = pq.ParquetFile(file).read(use_threads=False)
    table = table.select([i for i, kind in enumerate(table.schema.types) if not pa.types.is_nested(kind)])
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
    if isinstance(value, bytes):  # text of programs that do not mark it as such
        return value.decode()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise BadInputError(f"{path}: empty", expected="a header with the names of the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInputError(f"{path}: column {', '.join(twice)} appears twice")
