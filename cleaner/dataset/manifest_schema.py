"""The manifest contract as a declaration: columns and their types. See docs/manifest.md. Loads Arrow alone."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cleaner.dataset.stage_inputs import STAGES
from cleaner.errors import BadInputError

FAULTS = (
    "",
    "empty",
    "truncated",
    "not_an_image",
    "unsupported_format",
    "too_large",
    "decode_error",
    "decoder_crash",
    "timeout",
    "unreadable",
    "outside_root",
    "missing",
    "bad_name",
)
"""Everything that scan can find wrong with a file; empty: nothing."""

COMMON = [
    pa.field("file_name", pa.string()),
    pa.field("image_id", pa.string()),
    pa.field("keep", pa.bool_()),
    pa.field("drop_stage", pa.string()),
    pa.field("drop_reason", pa.string()),
    pa.field("clean_label", pa.string()),
]
BY_STAGE = {
    "scan": [
        pa.field("label", pa.string()),
        pa.field("split", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("mode", pa.string()),
        pa.field("format", pa.string()),
        pa.field("file_bytes", pa.int64()),
        pa.field("readable", pa.bool_()),
        pa.field("fault", pa.string()),
        pa.field("duplicate_group", pa.int64()),
        pa.field("duplicate_kind", pa.string()),
        pa.field("label_conflict", pa.bool_()),
        pa.field("duplicate_relation", pa.string()),  # beyond the contract
        # beyond the contract: evidence for the cold start of the noise stage
        pa.field("num_colors", pa.int32()),
        pa.field("pixel_std", pa.float32()),
        pa.field("pixel_id", pa.string()),
        # also beyond the contract: image quality, measured, and the findings in `quality`
        pa.field("sharpness", pa.float32()),
        pa.field("flat_share", pa.float32()),
        pa.field("brightness_low", pa.float32()),
        pa.field("brightness_high", pa.float32()),
        pa.field("information", pa.float32()),
        pa.field("aspect", pa.float32()),
        pa.field("size_ratio", pa.float32()),
        pa.field("quality", pa.string()),
        # what is odd about a file, for people
        pa.field("notes", pa.string()),
    ],
    "noise": [
        pa.field("noise_prob", pa.float32()),
        pa.field("is_noise", pa.bool_()),
        pa.field("noise_evidence", pa.string()),
        pa.field("noise_round", pa.int16()),
        pa.field("noise_reason", pa.string()),  # beyond the contract
    ],
    "labels": [
        pa.field("fold", pa.int8()),
        pa.field("given_rank", pa.int32()),
        pa.field("self_confidence", pa.float32()),
        pa.field("predicted_label", pa.string()),
        pa.field("predicted_confidence", pa.float32()),
        pa.field("label_issue", pa.string()),
        pa.field("pulled_back_round", pa.int16()),
        pa.field("label_evidence", pa.string()),
        # beyond the contract: the probability that the label is wrong, and the likely right one
        pa.field("label_issue_prob", pa.float32()),
        pa.field("suggested_label", pa.string()),
        pa.field("suggested_prob", pa.float32()),
    ],
    "balance": [
        pa.field("class_size", pa.int32()),
        pa.field("class_action", pa.string()),
        pa.field("repeats", pa.int32()),
    ],
}
_BEYOND_CONTRACT = frozenset(
    {"num_colors", "pixel_std", "pixel_id", "sharpness", "flat_share", "brightness_low", "brightness_high"}
    | {"information", "aspect", "size_ratio", "quality", "notes", "duplicate_relation"}
    | {"label_issue_prob", "suggested_label", "suggested_prob"}
)
NOT_JUDGED = {"string": "", "bool": False, "int8": -1, "int16": -1, "int32": -1, "int64": -1, "float": float("nan")}
"""Values of a stage's columns in rows that it did not judge, by arrow type."""


def stage_fields(stage: str) -> list[pa.Field]:
    """The columns that `stage` adds to its parent's."""
    return list(BY_STAGE[stage])


def schema_for(columns: list[str]) -> pa.Schema:
    """The arrow schema of a manifest that holds `columns`; every name must be known."""
    known = _declared()
    return pa.schema([known[name] for name in columns])


def contract_columns() -> list[str]:
    """The columns that every manifest has."""
    return [f.name for f in [*COMMON, *BY_STAGE["scan"]] if f.name not in _BEYOND_CONTRACT]


_CHOICES = {
    "fault": FAULTS,
    "duplicate_kind": ("", "exact", "near"),
    "drop_stage": ("", *STAGES),
    "noise_evidence": ("", "seed", "person", "model"),
    "label_issue": ("", "coarse", "fine"),
    "label_evidence": ("", "person", "model"),
    "class_action": ("", "keep", "drop", "review"),
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


def check_column(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of the manifest `path` in its declared type; one that is not declared as it is.

    Raises BadInputError, naming column and row, for another type, nulls, and values that no stage writes.
    """
    field = _declared().get(name)
    if field is None:
        return column
    plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    what = _WORDS.get(str(field.type), "whole numbers")
    if _kind(plain) != _kind(field.type):
        raise _wrong(path, f"column {name}", what, str(plain))
    if column.null_count:
        raise _wrong(path, f"{name} in row {_first(column.is_null()):,}", f"{what}, never null", "null")
    column.validate(full=True)
    found = column.cast(field.type)
    wrong, expected = _values(name, found)
    if wrong is not None and pc.any(wrong).as_py():
        row = _first(wrong)
        raise _wrong(path, f"{name} in row {row:,}", expected, repr(found[row].as_py()))
    return found


def check_rows(path: Path, columns: dict[str, pa.ChunkedArray]) -> None:
    """Raise BadInputError where the columns of a manifest, checked each by itself, do not go together."""
    names, keep = columns.get("file_name"), columns.get("keep")
    if names is not None and len(names) > 1:
        ascends = pc.all(pc.less(names.slice(0, len(names) - 1), names.slice(1))).as_py()
        if not ascends and pc.count_distinct(names).as_py() < len(names):
            raise _wrong(path, "column file_name", "each name once: it is the key", "one stands there twice")
    for name in {"image_id", "readable"} & columns.keys() if keep is not None else ():
        has_it = columns[name] if name == "readable" else pc.not_equal(columns[name], "")
        without = pc.and_not(keep, has_it)
        if pc.any(without).as_py():
            row, expected = _first(without), "true" if name == "readable" else "64 hex digits"
            raise _wrong(path, f"{name} in row {row:,}, which is kept,", expected, repr(columns[name][row].as_py()))


def _declared() -> dict[str, pa.Field]:
    return {f.name: f for f in [*COMMON, *(f for fields in BY_STAGE.values() for f in fields)]}


def _values(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, str]:
    """Which values (N,) bool no stage writes, or None where any will do, and what is expected."""
    if name in _CHOICES:
        known = _CHOICES[name]
        return pc.invert(
            pc.is_in(column, value_set=text_array(known))
        ), f"one of {', '.join(filter(None, known))}, or empty"
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


def _wrong(path: Path, where: str, expected: str, found: str) -> BadInputError:
    return BadInputError(
        f"{path}: {where} is not what a manifest holds",
        expected=expected,
        found=found,
        next_step="run the stage that writes it again, with --force; of another program's: see docs/manifest.md",
    )
