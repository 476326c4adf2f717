"""Embeddings of many images as the stages read them: by rows, a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleaner.dataset.store import digest_of
from cleaner.modeling.columns import Table, TableFile, blocks_of, new_table, side_by_side

_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Origin:
    """The backbones that computed some embeddings."""

    key: str = ""
    """`Backbone.key`, or a digest of several."""
    backbones: tuple[dict[str, Any], ...] = ()
    """`Backbone.describe()` of each."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N images, in one view or two; large ones lie in files (`modeling/columns.py`)."""

    plain: Table
    """(N, D) float16."""
    mirrored: Table
    """(N, D) float16, of the image flipped left to right; with one view, `plain` itself."""
    style: Table | None = None
    """(N, S) float16, see modeling/style.py; None where it was not requested."""
    origin: Origin = Origin()

    @classmethod
    def of_views(cls, views: Sequence[Table], style: Table | None = None, origin: Origin = Origin()) -> Embeddings:
        """From one or two views, the plain one first."""
        return cls(views[0], views[-1], style, origin)

    @property
    def views(self) -> tuple[Table, ...]:
        """The one or two different views."""
        return (self.plain,) if self.mirrored is self.plain else (self.plain, self.mirrored)

    def take(self, rows: np.ndarray) -> Embeddings:
        """The embeddings of some rows, given by number or mask, in memory."""
        style = None if self.style is None else self.style[rows]
        return Embeddings.of_views([view[rows] for view in self.views], style, self.origin)

    def mean(self, rows: np.ndarray | slice) -> np.ndarray:
        """(n, D) float32: the mean over the views of some rows."""
        first, *more = (view[rows].astype(np.float32) for view in self.views)
        return (first + more[0]) / 2 if more else first

    def in_files(self, cache: Path) -> Embeddings:
        """The same with every table in a file below `cache`, for other processes: small ones are copied to one."""
        views = [_in_file(view, cache) for view in self.views]
        return Embeddings.of_views(views, None if self.style is None else _in_file(self.style, cache), self.origin)

    def files(self) -> EmbeddingFiles:
        """Where they lie; only of `in_files`."""
        views = tuple(_files_of(view) for view in self.views)
        return EmbeddingFiles(views, None if self.style is None else _files_of(self.style), self.origin)


@dataclass(frozen=True)
class EmbeddingFiles:
    """Where embeddings lie, for another process to open; they lie there as long as their maker holds them."""

    views: tuple[tuple[TableFile, ...], ...]
    """The blocks of columns of each view."""
    style: tuple[TableFile, ...] | None
    origin: Origin

    def open(self) -> Embeddings:
        """The embeddings. Raises BadInputError if a file is gone, or has another size."""
        views = [side_by_side([file.open() for file in blocks]) for blocks in self.views]
        style = None if self.style is None else side_by_side([file.open() for file in self.style])
        return Embeddings.of_views(views, style, self.origin)


def join_embeddings(each: Sequence[Embeddings]) -> Embeddings:
    """One row for each image of what several backbones saw of it, in as many views; nothing is copied."""
    if len(each) == 1:
        return each[0]
    views = [side_by_side(columns) for columns in zip(*(e.views for e in each), strict=True)]
    styles = [e.style for e in each if e.style is not None]
    origin = Origin(digest_of(*(e.origin.key for e in each)), tuple(b for e in each for b in e.origin.backbones))
    return Embeddings.of_views(views, side_by_side(styles) if styles else None, origin)


def _in_file(table: Table, cache: Path) -> Table:
    blocks = []
    for block in blocks_of(table):
        if block.size and TableFile.of(block) is None:
            copy = new_table(block.shape[0], block.shape[1], block.dtype, cache, in_file=True)
            for start in range(0, len(block), _CHUNK_ROWS):
                copy[start : start + _CHUNK_ROWS] = block[start : start + _CHUNK_ROWS]
            block = copy
        blocks.append(block)
    return side_by_side(blocks)


def _files_of(table: Table) -> tuple[TableFile, ...]:
    found = [TableFile.of(block) for block in blocks_of(table)]
    files = tuple(file for file in found if file is not None)
    assert len(files) == len(found), "embeddings that lie in memory"
    return files
