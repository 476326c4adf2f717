"""Checks a column of a workspace's tables against its declaration, wherever it is read. Loads Arrow alone."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cleaner.dataset.manifest_schema import FAULTS, declared_fields
from cleaner.dataset.stage_inputs import STAGES
from cleaner.errors import BadInputError

_CHOICES = {
    "fault": FAULTS,
    "duplicate_kind": ("", "exact", "near"),
    "drop_stage": ("", *STAGES),
    "noise_evidence": ("", "seed", "person", "model"),
    "label_issue": ("", "coarse", "fine"),
    "label_evidence": ("", "person", "model"),
    "class_action": ("", "keep", "drop", "review"),
    # of tables besides the manifest, see stage_tables.py
    "action": ("", "keep", "drop", "review"),
    "finding": ("", "jumbled", "overlaps"),
    "verdict": ("label", "noise", "normal", "drop", "unsure"),
}
_PROBABILITIES = ("noise_prob", "self_confidence", "predicted_confidence", "label_issue_prob", "suggested_prob")
_ROUNDING = 1e-4
_DIGEST = "^([0-9a-f]{64})?$"
_PIXELS = "^[0-9a-f]*$"
_LEADS_ASTRAY = r"^\.?$|^/|/$|//|(^|/)\.\.(/|$)|\x00"
"""Matches file names that are not those of files below the images root."""
GO_TOGETHER = ("file_name", "keep", "image_id", "readable")
"""The columns that `check_rows` compares."""
_WORDS = {"string": "text", "bool": "true or false", "float": "numbers"}
_ADVICE = "run the stage that writes it again, with --force; of another program's: see docs/manifest.md"


def check_column(
    path: Path, name: str, column: pa.ChunkedArray, field: pa.Field | None = None, next_step: str = _ADVICE
) -> pa.ChunkedArray:
    """A column of the table `path` in its declared type, by default the manifest's; one not declared as it is.

    Raises BadInputError, naming column and row, for another type, nulls, and values that no stage writes.
    """
    field = field or declared_fields().get(name)
    if field is None:
        return column
    plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    what = _WORDS.get(str(field.type), "whole numbers")
    if _kind(plain) != _kind(field.type):
        raise _wrong(path, f"column {name}", what, str(plain), next_step)
    if column.null_count:
        raise _wrong(path, f"{name} in row {_first(column.is_null()):,}", f"{what}, never null", "null", next_step)
    column.validate(full=True)
    found = column.cast(field.type)
    wrong, expected = _values(name, found)
    if wrong is not None and pc.any(wrong).as_py():
        row = _first(wrong)
        raise _wrong(path, f"{name} in row {row:,}", expected, repr(found[row].as_py()), next_step)
    return found


def check_rows(path: Path, columns: dict[str, pa.ChunkedArray]) -> None:
    """Raise BadInputError where the columns of a manifest, checked each by itself, do not go together."""
    if "file_name" in columns:
        check_key(path, "file_name", columns["file_name"])
    keep = columns.get("keep")
    for name in {"image_id", "readable"} & columns.keys() if keep is not None else ():
        has_it = columns[name] if name == "readable" else pc.not_equal(columns[name], "")
        without = pc.and_not(keep, has_it)
        if pc.any(without).as_py():
            row, expected = _first(without), "true" if name == "readable" else "64 hex digits"
            found = repr(columns[name][row].as_py())
            raise _wrong(path, f"{name} in row {row:,}, which is kept,", expected, found, _ADVICE)


def check_key(path: Path, name: str, column: pa.ChunkedArray, next_step: str = _ADVICE) -> None:
    """Raise BadInputError if a value stands twice in a column that is the key of its table."""
    if len(column) > 1:
        ascends = pc.all(pc.less(column.slice(0, len(column) - 1), column.slice(1))).as_py()
        if not ascends and pc.count_distinct(column).as_py() < len(column):
            expected = "each name once: it is the key"
            raise _wrong(path, f"column {name}", expected, "one stands there twice", next_step)


def _values(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, str]:
    """Which values (N,) bool no stage writes, or None where any will do, and what is expected."""
    if name in _CHOICES:
        known = _CHOICES[name]
        among = f"one of {', '.join(filter(None, known))}" + (", or empty" if "" in known else "")
        return pc.invert(pc.is_in(column, value_set=text_array(known))), among
    if name == "file_name":
        return pc.match_substring_regex(column, _LEADS_ASTRAY), "a path below the images root, without `..`"
    if name == "image_id":
        return pc.invert(pc.match_substring_regex(column, _DIGEST)), "64 hex digits, or empty"
    if name == "pixel_id":
        return pc.invert(pc.match_substring_regex(column, _PIXELS)), "hex digits, or empty"
    if pa.types.is_integer(column.type):
        return _outside(column, -1, None), "-1 or more"
    if name in _PROBABILITIES:
        return _outside(column, 0, 1 + _ROUNDING), "0 .. 1, or NaN"
    return (pc.is_inf(column), "a finite number, or NaN") if pa.types.is_floating(column.type) else (None, "")


def _outside(column: pa.ChunkedArray, low: float, high: float | None) -> pa.ChunkedArray | None:
    """Which numbers lie outside of a range (NaN does not), or None if none does: comparing with one loads pandas."""
    ends = pc.min_max(column).as_py()
    if ends["min"] is None or (not ends["min"] < low and (high is None or not ends["max"] > high)):
        return None
    below = pc.less(column, low)
    return below if high is None else pc.or_(below, pc.greater(column, high))


def text_array(values: Iterable[str]) -> pa.StringArray:
    """Text as Arrow has it; pa.array would load pandas."""
    encoded = [value.encode() for value in values]
    ends = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def _kind(arrow_type: pa.DataType) -> str:
    types = pa.types
    is_kind = {
        "text": types.is_string(arrow_type) or types.is_large_string(arrow_type),
        "truth": types.is_boolean(arrow_type),
        "whole": types.is_integer(arrow_type),
        "real": types.is_floating(arrow_type),
    }
    return next((kind for kind, is_it in is_kind.items() if is_it), str(arrow_type))


def _first(mask: pa.ChunkedArray) -> int:
    """The first row where a mask is true."""
    return int(pc.index(mask, True).as_py())


def _wrong(path: Path, where: str, expected: str, found: str, next_step: str) -> BadInputError:
    return BadInputError(f"{path}: {where} is wrong", expected=expected, found=found, next_step=next_step)
