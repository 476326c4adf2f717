"""The manifest contract: columns, types, reading, writing. See docs/manifest.md."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cleaner.dataset.column_checks import GO_TOGETHER, check_column, check_rows
from cleaner.dataset.manifest_rows import manifest_columns, read_pieces, reading_manifest
from cleaner.dataset.manifest_schema import (
    BY_STAGE,
    COMMON,
    NOT_JUDGED,
    contract_columns,
    schema_for,
)
from cleaner.dataset.manifest_schema import stage_fields as stage_fields
from cleaner.dataset.stage_inputs import SCHEMA_VERSION
from cleaner.dataset.stage_inputs import STAGES as STAGES
from cleaner.dataset.store import atomic_writer
from cleaner.errors import BadInputError

GROUP_ROWS = 1 << 20
"""Rows that are written together, a Parquet row group: Arrow's own default."""
_PIECE_ROWS = 65_536  # about 10 MB of text at once
_SMALL_FILE_BYTES = 1 << 23


def with_stage_columns(manifest: pd.DataFrame, stage: str) -> pd.DataFrame:
    """A copy with the columns of `stage` added or reset to their values for rows not judged."""
    added = {
        f.name: np.full(
            len(manifest),
            NOT_JUDGED[str(f.type)],
            dtype=object if str(f.type) == "string" else f.type.to_pandas_dtype(),
        )
        for f in BY_STAGE[stage]
    }
    rest = manifest.drop(columns=list(added), errors="ignore")
    return pd.concat([rest, pd.DataFrame(added, index=manifest.index)], axis=1)


def drop_rows(manifest: pd.DataFrame, rows: np.ndarray, stage: str, reason: str) -> None:
    """Mark those of `rows` (N,) bool that are still kept as dropped by `stage` for `reason`, in place."""
    hit = np.asarray(rows, dtype=bool) & manifest["keep"].to_numpy()
    manifest.loc[hit, "keep"] = False
    manifest.loc[hit, "drop_stage"] = stage
    manifest.loc[hit, "drop_reason"] = reason


def write_manifest(
    path: Path, manifest: pd.DataFrame, *, stage: str, parent_sha256: str, base: Path | None = None
) -> None:
    """Write a manifest as Parquet (zstd), rows ordered by file_name, whole or not at all.

    Columns that are not in `manifest` come from the manifest `base`, which has the same rows in the same order. The
    bytes depend on the rows and on the library versions alone.
    """
    there = [*manifest.columns, *(manifest_columns(base) if base is not None else [])]
    names = [f.name for f in COMMON] + [f.name for s in STAGES for f in BY_STAGE[s] if f.name in there]
    schema = schema_for(names).with_metadata(
        {"cleaner.stage": stage, "cleaner.schema_version": str(SCHEMA_VERSION), "cleaner.parent_sha256": parent_sha256}
    )
    if not _ascends(manifest["file_name"]):
        if base is not None:
            rest = read_manifest(base, [name for name in names if name not in manifest])
            manifest, base = pd.concat([manifest.reset_index(drop=True), rest], axis=1), None
        manifest = manifest.sort_values("file_name", kind="stable")
        assert not manifest["file_name"].duplicated().any(), "file_name is the key of a manifest"
    write_table(path, manifest, schema, base)


def _ascends(names: pd.Series[str]) -> bool:
    """Whether each name comes after the one before it."""
    pieces = (names.iloc[start : start + _PIECE_ROWS + 1].to_numpy() for start in range(0, len(names), _PIECE_ROWS))
    return all((piece[1:] > piece[:-1]).all() for piece in pieces)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema, base: Path | None = None) -> None:
    """Write any table of the workspace as Parquet (zstd) under an explicit schema, whole or not at all.

    Text may lie in `frame` as objects, categories or as Arrow has it, digests as bytes of one length too, null for ''.
    Columns that `frame` lacks come from the Parquet file `base`, row by row. One row group is held at a time.
    """
    from_base = [f.name for f in schema if f.name not in frame]
    with contextlib.ExitStack() as stack:
        writer = pq.ParquetWriter(stack.enter_context(atomic_writer(path)), schema, compression="zstd")
        stack.callback(writer.close)
        pieces = _groups_of(stack.enter_context(pq.ParquetFile(base)), from_base) if base is not None else None
        for start in range(0, max(1, len(frame)), GROUP_ROWS):
            part = frame.iloc[start : start + GROUP_ROWS]
            rest = next(pieces) if pieces is not None else None
            columns = [
                _to_arrow(part[f.name], f.type)
                if f.name in frame or rest is None
                else check_column(cast(Path, base), f.name, rest.column(f.name), f)
                for f in schema
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _to_arrow(column: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    """A column of a row group."""
    if not isinstance(column.dtype, pd.ArrowDtype):
        # not Table.from_pandas: it would store NaN as null
        return pa.array(column.to_numpy(), type=kind, from_pandas=False)
    array = pa.chunked_array(pa.array(column.array)).combine_chunks()
    return _to_hex(array) if pa.types.is_fixed_size_binary(array.type) else array.cast(kind)


def _to_hex(digests: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """Digests as hex digits; '' for null."""
    width, start, there = digests.type.byte_width, digests.offset, digests.is_valid().to_numpy(zero_copy_only=False)
    values = np.frombuffer(digests.buffers()[1], np.uint8).reshape(-1, width)[start : start + len(digests)]
    ends = np.zeros(len(digests) + 1, dtype=np.int32)
    np.cumsum(there * (2 * width), out=ends[1:])
    text = values[there].tobytes().hex().encode()
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(ends), pa.py_buffer(text))


def _groups_of(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of a Parquet file, `GROUP_ROWS` rows at a time, whatever its own row groups."""
    held = file.schema_arrow.empty_table().select(columns)
    for batch in file.iter_batches(_PIECE_ROWS, columns=columns, use_threads=False):
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).select(columns)])
        if held.num_rows >= GROUP_ROWS:
            yield held.slice(0, GROUP_ROWS)
            held = held.slice(GROUP_ROWS)
    yield held


def read_manifest(
    path: Path, columns: Sequence[str] = (), optional: Sequence[str] = (), packed: Sequence[str] = ()
) -> pd.DataFrame:
    """A manifest as a DataFrame ordered by file_name: all columns, or `columns` and any of `optional` that exist.

    Text is held as Python objects, that of the columns `packed` as Arrow has it: a third of the memory where hardly a
    value stands twice, and slower to use.

    Raises BadInputError if the file is absent, no Parquet, lacks a column of the contract, or holds what no stage
    writes.
    """
    with reading_manifest(path), path.open("rb") as file:
        # if a thread of Arrow is just starting when the process ends, it aborts: none for small files
        many = file.seek(0, io.SEEK_END) > _SMALL_FILE_BYTES
        file.seek(0)
        parquet = pq.ParquetFile(file, pre_buffer=many)
        there = parquet.schema_arrow.names
        absent = sorted(set(columns or contract_columns()) - set(there))
        names = [] if absent else [*columns, *(n for n in optional if n in there)] or there
        series, together = {}, {}
        for name in names:  # a column at a time, so that only one is held twice, as Arrow and as pandas
            column = check_column(path, name, parquet.read(columns=[name], use_threads=many).column(name))
            series[name] = _pack(column) if name in packed else _to_series(column)
            if name in GO_TOGETHER:
                together[name] = column
        check_rows(path, together)
    if absent:
        raise BadInputError(
            f"{path}: not a cleaner manifest", expected=f"columns {', '.join(absent)}", next_step="see docs/manifest.md"
        )
    return pd.DataFrame(series)


def read_matching(path: Path, columns: list[str], condition: pc.Expression) -> pd.DataFrame:
    """The rows of a manifest that meet `condition` (on `columns`), in their order; the others are filtered by Arrow."""
    pieces = [piece.filter(condition) for piece in read_pieces(path, columns)]
    table = pa.concat_tables(pieces) if pieces else schema_for(columns).empty_table()
    return pd.DataFrame({name: _to_series(table.column(name)) for name in table.column_names})


def manifest_stage(path: Path) -> str:
    """The stage that wrote a manifest, from the file's metadata; '' if it names none."""
    with reading_manifest(path):
        metadata = pq.read_schema(path).metadata or {}
    stage = bytes(metadata.get(b"cleaner.stage", b"")).decode(errors="replace")
    return stage if stage in STAGES else ""


def _pack(column: pa.ChunkedArray) -> pd.Series[Any]:
    # large: rows of more than 2 GB of text can be taken
    return pd.Series(pd.arrays.ArrowExtensionArray(column.cast(pa.large_string())))


def look_up(keys: pd.Series[Any], values: pd.Series[Any], absent: Any) -> np.ndarray:
    """The value (N,) object of each of `keys` (N,) in `values`, whose index has no key twice, or `absent`."""
    found = np.full(len(keys), absent, object)
    hit = np.flatnonzero(keys.isin(list(values.index)).to_numpy(bool))
    found[hit] = values.loc[keys.iloc[hit].tolist()].to_numpy()
    return found


def _to_series(column: pa.ChunkedArray) -> pd.Series[Any]:
    """A column as pandas has it: text as Python objects, one object for equal texts of a piece."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return pd.Series(column.to_numpy())
    pieces = [np.empty(0, object), *map(_to_objects, column.chunks)]
    return pd.Series(np.concatenate(pieces), dtype=object)


def _to_objects(piece: pa.Array) -> np.ndarray:
    encoded = piece.dictionary_encode()
    words = np.concatenate([encoded.dictionary.to_numpy(zero_copy_only=False).astype(object), np.array([None])])
    return np.asarray(words[encoded.indices.fill_null(len(words) - 1).to_numpy()])
