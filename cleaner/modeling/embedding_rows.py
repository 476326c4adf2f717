"""Rows of embeddings put in their places while shards are read: no more than a shard is in memory beside the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.errors import BadInputError
from cleaner.modeling.columns import new_table

_CHUNK_IDS = 65_536


class EmbeddingRows:
    """Tables of one network's embeddings, one row for each of N ids, which may repeat."""

    def __init__(self, image_ids: Sequence[str], names: Sequence[str], cache: Path, source: Path) -> None:
        """`names`: arrays that each shard has; `cache`: see `new_table`; `source`: where shards lie, for errors."""
        ids = np.empty(len(image_ids), "S32")
        for start in range(0, len(ids), _CHUNK_IDS):
            part = slice(start, start + _CHUNK_IDS)
            ids[part] = as_keys(raw_ids(image_ids[part]))
        self._names, self._cache, self._source = tuple(names), cache, source
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._is_known = np.zeros(len(ids), bool)
        self._tables: Arrays = {}

    def put(self, ids: np.ndarray, shard: Arrays) -> None:
        """Take up the rows of a shard whose `ids` (n,) S32 are asked for and not known yet.

        Raises BadInputError if it is another network's, CleanerError where its table finds no room.
        """
        first, after = (np.searchsorted(self._ids, ids, side) for side in ("left", "right"))
        counts = after - first  # rows that ask for each id
        source = np.repeat(np.arange(len(ids)), counts)
        place = np.arange(len(source)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        rows = self._order[place]
        is_new = ~self._is_known[rows]
        rows, source = rows[is_new], source[is_new]
        if not len(rows):
            return
        for name in self._names:
            values = shard[name]
            if name not in self._tables:
                self._tables[name] = new_table(len(self._order), values.shape[1], np.float16, self._cache)
            if self._tables[name].shape[1] != values.shape[1]:
                raise BadInputError(
                    f"{self._source}: embeddings of different networks lie there together",
                    next_step="delete that folder and run the same command again",
                )
            self._tables[name][rows] = values[source]
        self._is_known[rows] = True

    def missing(self) -> np.ndarray:
        """Rows (n,) int64 in rising order whose ids are not known, the first row of each id."""
        is_first = np.ones(len(self._ids), bool)
        is_first[1:] = self._ids[1:] != self._ids[:-1]
        rows = self._order[is_first]
        return np.sort(rows[~self._is_known[rows]])

    def tables(self) -> Arrays:
        """The whole tables by name, (N, D) float16; (0, 0) without rows."""
        assert self._is_known.all(), "rows without embeddings"
        return {name: self._tables.get(name, np.zeros((0, 0), np.float16)) for name in self._names}


def raw_ids(ids: Sequence[str]) -> np.ndarray:
    """Image ids as (n, 32) uint8."""
    return np.frombuffer(bytes.fromhex("".join(ids)), np.uint8).reshape(-1, 32)


# NumPy's S32 drops trailing zero bytes, on both sides of every comparison; no two digests become equal.
def as_keys(raw: np.ndarray) -> np.ndarray:
    """Ids (n, 32) uint8 as (n,) S32."""
    return np.ascontiguousarray(raw).view("S32").reshape(-1)
