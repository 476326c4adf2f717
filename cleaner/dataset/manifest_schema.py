"""The manifest contract as a declaration: columns and their types. See docs/manifest.md. Loads Arrow alone."""

from __future__ import annotations

import pyarrow as pa

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
    known = declared_fields()
    return pa.schema([known[name] for name in columns])


def declared_fields() -> dict[str, pa.Field]:
    """Every column that a stage writes, by name."""
    return {f.name: f for f in [*COMMON, *(f for fields in BY_STAGE.values() for f in fields)]}


def contract_columns() -> list[str]:
    """The columns that every manifest has."""
    return [f.name for f in [*COMMON, *BY_STAGE["scan"]] if f.name not in _BEYOND_CONTRACT]
