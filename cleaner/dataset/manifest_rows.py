"""A few rows of a large manifest, read with Arrow alone: pandas takes a quarter of a second to load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cleaner.dataset.column_checks import check_column, text_array
from cleaner.reading import reading

_PIECE_ROWS = 65_536  # about 10 MB of text at once


def read_pieces(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of a manifest, a piece at a time, so that finding a few rows among a million is cheap.

    Raises BadInputError if the manifest cannot be read, or holds what no stage writes.
    """
    with reading_manifest(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_PIECE_ROWS, columns=list(columns), use_threads=False):
            piece = pa.Table.from_batches([batch])
            yield pa.Table.from_arrays([check_column(path, n, piece.column(n)) for n in columns], names=list(columns))


def read_images(path: Path, columns: Sequence[str], image_ids: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a manifest that show one of the images `image_ids`: image_id and `columns` by name."""
    wanted = text_array(image_ids)
    rows: list[dict[str, Any]] = []
    for piece in read_pieces(path, ["image_id", *columns]):
        rows += piece.filter(pc.is_in(piece["image_id"], value_set=wanted)).to_pylist()
    return rows


def manifest_columns(path: Path) -> list[str]:
    """The names of a manifest's columns. Raises BadInputError if it cannot be read."""
    with reading_manifest(path):
        return list(pq.read_schema(path).names)


def reading_manifest(path: Path) -> AbstractContextManager[None]:
    """For a block that reads the manifest at `path`; see `reading`."""
    again = "run the stage that writes it again, with --force"
    return reading(path, "manifest", again, absent="run `cleaner scan IMAGES` first")
