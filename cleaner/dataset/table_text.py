"""Rows of tables that are text: CSV in whatever dialect and encoding a program wrote, and JSON lines."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from cleaner.errors import BadInputError

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SAMPLE_CHARS = 1 << 16
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, with whose mark it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OUR_TABLES = (
    {"file_name", "clean_label", "image_id"},
    {"path", "file_name", "clean_label", "repeats"},
    {"kind", "key", "queue", "verdict", "label", "annotator"},
)
"""Columns of what cleaner writes: an export, its repeats, decisions."""


@dataclass(frozen=True)
class TextRows:
    """The rows of a table."""

    header: list[str]
    rows: list[list[str]]
    """Each as long as the header."""
    numbers: list[int]
    """The line on which each row begins, from 1."""


def read_csv_rows(path: Path) -> TextRows:
    """The rows of a table with a header, without blank ones and without columns that have no name.

    The delimiter is that of `,` `;` tab `|` which the header holds most of; the encoding is UTF-8, or UTF-16 or UTF-32
    by its byte order mark. Where a blank follows every delimiter, it belongs to no value. Raises BadInputError naming
    the file and the row.
    """
    with _open_text(path) as file:
        sample = file.read(_SAMPLE_CHARS)
        file.seek(0)
        first = sample.partition("\n")[0]
        delimiter = max((DELIMITERS.get(path.suffix.lower(), ","), ",", ";", "\t", "|"), key=first.count)
        spaced = 0 < sample.count(delimiter) == sample.count(f"{delimiter} ")
        table = _parse(path, csv.reader(file, delimiter=delimiter, skipinitialspace=spaced, strict=True))
        is_plain = first.startswith('"') and file.encoding == "utf-8"  # as `write_csv` writes what is not guarded
    if not is_plain and _is_guarded(table):
        table = replace(table, rows=[[_unguarded(value) for value in row] for row in table.rows])
    named = [i for i, name in enumerate(table.header) if name]
    if len(named) == len(table.header):
        return table
    return TextRows([table.header[i] for i in named], [[row[i] for i in named] for row in table.rows], table.numbers)


def read_json_rows(path: Path) -> TextRows:
    """The rows of a file with one JSON object a line; a row without a value for some column has '' there.

    Numbers stay as they are written, true and false become text, null ''. Columns that hold lists or objects are left
    out. Raises BadInputError naming file and line.
    """
    objects: dict[int, dict[str, Any]] = {}
    columns: dict[str, bool] = {}
    with _open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
            except (ValueError, RecursionError) as error:
                raise BadInputError(f"{path}, line {number}: not valid JSON", found=str(error)) from error
            if not isinstance(row, dict):
                raise BadInputError(f"{path}, line {number}: not a JSON object", expected='{"file_name": …}')
            objects[number] = row
            columns |= {name: columns.get(name, True) and not isinstance(v, dict | list) for name, v in row.items()}
    header = [name for name, is_flat in columns.items() if is_flat]
    rows = [[_json_text(row.get(name)) for name in header] for row in objects.values()]
    return TextRows(header, rows, list(objects))


def guarded(value: Any) -> Any:
    """A value, after an apostrophe if a spreadsheet would run it as a formula (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(_FORMULA) else value


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """A file of text, in the encoding that its first bytes tell. Raises BadInputError for bytes that are no text."""
    with path.open("rb") as file:
        head = file.read(4)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), "utf-8")
    try:
        with path.open(encoding=encoding, newline="") as text:
            yield text
    except UnicodeError as error:
        kind = encoding.upper().removesuffix("-SIG")
        raise BadInputError(f"{path}: not {kind}", found=str(error), next_step="save it as UTF-8") from error


def _parse(path: Path, reader: Any) -> TextRows:
    """The header and all rows of a csv.reader that are not blank; blank cells beyond the header are cut off."""
    table = TextRows([], [], [])
    try:
        table.header.extend(name.strip() for name in next(reader, []))
        num, before = len(table.header), reader.line_num
        for row in reader:
            number, before = before + 1, reader.line_num
            if not any(map(str.strip, row)):
                continue
            if len(row) < num or any(row[num:]):
                raise BadInputError(
                    f"{path}, row {number}: not as many fields as the header", expected=str(num), found=str(len(row))
                )
            table.rows.append(row[:num])
            table.numbers.append(number)
    except csv.Error as error:
        raise BadInputError(f"{path}, line {reader.line_num}: not valid CSV", found=str(error)) from error
    return table


def _is_guarded(table: TextRows) -> bool:
    """Whether texts that look like formulas carry our apostrophe: in a table of ours in which none is without."""
    ours = any(columns <= set(table.header) for columns in _OUR_TABLES)
    return ours and not any(value.startswith(_FORMULA) for row in table.rows for value in row)


def _unguarded(value: str) -> str:
    return value[1:] if value.startswith("'") and value.lstrip("'").startswith(_FORMULA) else value


def _json_text(value: str | bool | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # half of a surrogate pair, which JSON can write and no file name or manifest can hold, becomes ?
    return "" if value is None else value.encode("utf-8", "replace").decode()
