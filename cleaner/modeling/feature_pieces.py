"""Embeddings behind a URL, in pieces named by what they hold: each machine keeps copies of those that it needs.

A file behind a URL cannot be mapped. So a machine fetches a piece when a task first reads a row of it, and maps its own
copy from then on, in other processes and later runs too. Nobody removes them: both folders may be deleted at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from cleaner.dataset.locations import locate, own_cache
from cleaner.dataset.store import ArrayStore, digest_of
from cleaner.errors import CleanerError
from cleaner.modeling.columns import Table
from cleaner.modeling.embedding_views import Embeddings

_PIECE_ROWS = 65_536
_FOLDER, _NAME = "features", "rows"


@dataclass(frozen=True)
class Pieces:
    """Where the pieces of embeddings lie."""

    root: str
    """A folder that all machines reach, most often a URL."""
    views: tuple[tuple[str, ...], ...]
    """The keys of each view's pieces."""
    shape: tuple[int, int]
    """N, D."""
    piece_rows: int

    @classmethod
    def put(cls, embeddings: Embeddings, cache: Path) -> Pieces:
        """Store the pieces below `cache`, those that are not there yet."""
        store = ArrayStore(cache / _FOLDER)
        views = []
        for view in embeddings.views:
            keys = []
            for start in range(0, len(view), _PIECE_ROWS):
                rows = view[start : start + _PIECE_ROWS]
                keys.append(digest_of(rows)[:32])
                if not store.path(keys[-1]).exists():
                    store.put(keys[-1], {_NAME: rows})
            views.append(tuple(keys))
        return cls(str(store.root), tuple(views), embeddings.plain.shape, _PIECE_ROWS)

    def open(self) -> Embeddings:
        """The embeddings, read by rows; style is not among them."""
        return Embeddings.of_views([cast(Table, _PieceTable(self, keys)) for keys in self.views])


class _PieceTable:
    """Rows (N, D) float16 of one view."""

    def __init__(self, pieces: Pieces, keys: tuple[str, ...]) -> None:
        self.shape, self._pieces, self._keys = pieces.shape, pieces, keys
        self._here = ArrayStore(own_cache(pieces.root) / _FOLDER)
        self._open: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """A copy (n, D) of rows (n,) by number."""
        number, place = np.divmod(np.asarray(rows), self._pieces.piece_rows)
        found = np.empty((len(number), self.shape[1]), np.float16)
        for one in np.unique(number).tolist():
            mine = number == one
            found[mine] = self._piece(one)[place[mine]]
        return found

    def _piece(self, number: int) -> np.ndarray:
        if number not in self._open:
            self._open[number] = self._fetch(self._keys[number])
        return self._open[number]

    def _fetch(self, key: str) -> np.ndarray:
        arrays = self._here.get(key)
        if arrays is None:
            there = ArrayStore(locate(self._pieces.root)).get(key)
            if there is None:
                raise CleanerError(
                    f"{self._pieces.root}: features of a run are gone", next_step="run the same command again"
                )
            self._here.put(key, there)
            arrays = self._here.get(key) or there
        return arrays[_NAME]
