"""The manifest contract: columns, types, reading, writing. See docs/manifest.md."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cleaner.dataset.store import write_atomic
from cleaner.errors import BadInputError

_PIECE_ROWS = 65_536  # some 10 MB of text at once
_SMALL_FILE_BYTES = 1 << 23
SCHEMA_VERSION = 1
STAGES = ("scan", "noise", "labels", "balance")

FAULTS = (
    "", "empty", "truncated", "not_an_image", "unsupported_format", "too_large",
    "decode_error", "unreadable", "outside_root", "missing", "bad_name",
)  # fmt: skip
"""Everything that scan can find wrong with a file; empty: nothing."""

_COMMON = [
    pa.field("file_name", pa.string()),
    pa.field("image_id", pa.string()),
    pa.field("keep", pa.bool_()),
    pa.field("drop_stage", pa.string()),
    pa.field("drop_reason", pa.string()),
    pa.field("clean_label", pa.string()),
]
_BY_STAGE = {
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
        # evidence beyond the contract: what the cold start of the noise stage looks at
        pa.field("num_colors", pa.int32()),
        pa.field("pixel_std", pa.float32()),
        pa.field("pixel_id", pa.string()),
        # image quality, beyond the contract too: measurements and, in `quality`, the findings
        pa.field("sharpness", pa.float32()),
        pa.field("flat_share", pa.float32()),
        pa.field("brightness_low", pa.float32()),
        pa.field("brightness_high", pa.float32()),
        pa.field("information", pa.float32()),
        pa.field("aspect", pa.float32()),
        pa.field("size_ratio", pa.float32()),
        pa.field("quality", pa.string()),
    ],
    "noise": [
        pa.field("noise_prob", pa.float32()),
        pa.field("is_noise", pa.bool_()),
        pa.field("noise_evidence", pa.string()),
        pa.field("noise_round", pa.int16()),
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
        # beyond the contract: how probable it is that the label is wrong, and which is right
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
    | {"information", "aspect", "size_ratio", "quality", "label_issue_prob", "suggested_label", "suggested_prob"}
)
NOT_JUDGED = {"string": "", "bool": False, "int8": -1, "int16": -1, "int32": -1, "int64": -1, "float": np.nan}
"""What a row holds in a column of a stage that did not judge it, by arrow type."""


def stage_fields(stage: str) -> list[pa.Field]:
    """The columns that `stage` adds to its parent's."""
    return list(_BY_STAGE[stage])


def schema_for(columns: list[str]) -> pa.Schema:
    """The arrow schema of a manifest that holds `columns`; every name must be known."""
    known = {f.name: f for f in [*_COMMON, *(f for fields in _BY_STAGE.values() for f in fields)]}
    return pa.schema([known[name] for name in columns])


def with_stage_columns(manifest: pd.DataFrame, stage: str) -> pd.DataFrame:
    """A copy with the columns of `stage` added (or reset), each at its value for rows not judged."""
    added = {
        f.name: np.full(
            len(manifest),
            NOT_JUDGED[str(f.type)],
            dtype=object if str(f.type) == "string" else f.type.to_pandas_dtype(),
        )
        for f in _BY_STAGE[stage]
    }
    rest = manifest.drop(columns=list(added), errors="ignore")
    return pd.concat([rest, pd.DataFrame(added, index=manifest.index)], axis=1)


def drop_rows(manifest: pd.DataFrame, rows: np.ndarray, stage: str, reason: str) -> None:
    """Mark those of `rows` (N,) bool that are still kept as dropped by `stage` for `reason`, in place."""
    hit = np.asarray(rows, dtype=bool) & manifest["keep"].to_numpy()
    manifest.loc[hit, "keep"] = False
    manifest.loc[hit, "drop_stage"] = stage
    manifest.loc[hit, "drop_reason"] = reason


def write_manifest(path: Path, manifest: pd.DataFrame, *, stage: str, parent_sha256: str) -> None:
    """Write a manifest as Parquet (zstd), rows ordered by file_name, whole or not at all.

    The bytes depend on the rows and on the library versions alone.
    """
    names = [f.name for f in _COMMON] + [f.name for s in STAGES for f in _BY_STAGE[s] if f.name in manifest.columns]
    schema = schema_for(names).with_metadata(
        {"cleaner.stage": stage, "cleaner.schema_version": str(SCHEMA_VERSION), "cleaner.parent_sha256": parent_sha256}
    )
    ordered = manifest.sort_values("file_name", kind="stable")
    assert not ordered["file_name"].duplicated().any(), "file_name is the key of a manifest"
    write_table(path, ordered[names], schema)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write any table of the workspace as Parquet (zstd) under an explicit schema, whole or not at all."""
    # not Table.from_pandas: it would store NaN as null
    columns = [pa.array(frame[f.name].to_numpy(), type=f.type, from_pandas=False) for f in schema]
    table = pa.Table.from_arrays(columns, schema=schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())


def read_manifest(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A manifest as a DataFrame; strings as Python objects, row order by file_name.

    Raises BadInputError if the file is absent, no Parquet, or lacks a column of the contract.
    """
    try:
        with path.open("rb") as file:
            # a thread of Arrow's that is just starting while the process ends aborts it: small files do without
            many = file.seek(0, io.SEEK_END) > _SMALL_FILE_BYTES
            file.seek(0)
            table = pq.ParquetFile(file, pre_buffer=many).read(columns=columns, use_threads=many)
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such manifest", next_step="run `cleaner scan IMAGES` first") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(
            f"{path}: not a readable manifest",
            found=str(error),
            next_step="run the stage that writes it again, with --force",
        ) from error
    contract = [f.name for f in [*_COMMON, *_BY_STAGE["scan"]] if f.name not in _BEYOND_CONTRACT]
    needed = set(columns or contract)
    absent = sorted(needed - set(table.column_names))
    if absent:
        raise BadInputError(
            f"{path}: not a cleaner manifest", expected=f"columns {', '.join(absent)}", next_step="see docs/manifest.md"
        )
    return _to_frame(table)


def read_matching(path: Path, columns: list[str], condition: pc.Expression) -> pd.DataFrame:
    """Those rows of a manifest that meet `condition` (on `columns`), in their order; the rest never becomes Python.

    Reads a piece at a time, so that a question about a few rows of a million costs little memory.
    """
    try:
        with pq.ParquetFile(path) as file:
            pieces = [
                pa.Table.from_batches([batch]).filter(condition)
                for batch in file.iter_batches(_PIECE_ROWS, columns=columns, use_threads=False)
            ]
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such manifest", next_step="run `cleaner scan IMAGES` first") from error
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise BadInputError(
            f"{path}: not a readable manifest",
            found=str(error),
            next_step="run the stage that writes it again, with --force",
        ) from error
    return _to_frame(pa.concat_tables(pieces) if pieces else schema.empty_table())


def manifest_stage(path: Path) -> str:
    """The stage that wrote a manifest, from the file's metadata; '' if it says none."""
    metadata = pq.read_schema(path).metadata or {}
    return bytes(metadata.get(b"cleaner.stage", b"")).decode()


def _to_frame(table: pa.Table) -> pd.DataFrame:
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            columns[name] = column.to_numpy().astype(object)
        else:
            columns[name] = column.to_numpy()
    return pd.DataFrame({k: pd.Series(v, dtype=object) if v.dtype == object else v for k, v in columns.items()})
