"""A few rows of a large manifest, read with Arrow alone: pandas takes a quarter of a second to load."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cleaner.errors import BadInputError

_PIECE_ROWS = 65_536  # about 10 MB of text at once


def read_pieces(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of a manifest, a piece at a time, so that finding a few rows among a million is cheap.

    Raises BadInputError if the manifest cannot be read.
    """
    with readable(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_PIECE_ROWS, columns=list(columns), use_threads=False):
            yield pa.Table.from_batches([batch])


def read_images(path: Path, columns: Sequence[str], image_ids: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a manifest that show one of the images `image_ids`: image_id and `columns` by name."""
    encoded = [image_id.encode() for image_id in image_ids]
    ends = array("i", accumulate(map(len, encoded), initial=0))
    # pa.array would load pandas
    wanted = pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
    rows: list[dict[str, Any]] = []
    for piece in read_pieces(path, ["image_id", *columns]):
        rows += piece.filter(pc.is_in(piece["image_id"], value_set=wanted)).to_pylist()
    return rows


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of reading the manifest at `path` into BadInputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such manifest", next_step="run `cleaner scan IMAGES` first") from error
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise BadInputError(
            f"{path}: not a readable manifest",
            found=str(error),
            next_step="run the stage that writes it again, with --force",
        ) from error
