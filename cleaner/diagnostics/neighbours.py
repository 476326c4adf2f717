"""The images most like one image by the embeddings of the network that ran last, from the cache alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.scoring.unit_rows import unit_rows


def find_neighbours(cache: Path, image_ids: list[str], num: int) -> list[tuple[str, float]]:
    """The `num` cached images nearest to the first of `image_ids` that is cached: image_id and cosine, best first.

    `image_ids` are those of one picture (exact copies), none of which is its own neighbour. Of several networks the
    one that ran last is used. Empty if the picture is in no cache. One shard is held in memory at a time.
    """
    root = cache / "embeddings"
    folders = [f for f in root.iterdir() if f.is_dir()] if root.is_dir() else []
    keys = [bytes.fromhex(i) for i in image_ids]
    for folder in sorted(folders, key=lambda f: f.stat().st_mtime, reverse=True):
        store = ArrayStore(folder, _require_shard)
        query = _find_view(store, keys)
        if query is not None:
            return _nearest(store, query, keys, num)
    return []


def _require_shard(arrays: Arrays) -> None:
    """Raise ValueError for arrays in which no neighbours can be found."""
    ids, views = arrays["image_id"], [arrays[name] for name in ("plain", "mirrored") if name in arrays]
    shape = (len(ids), views[0].shape[1])
    if ids.shape != (len(ids), 32) or any(view.shape != shape for view in views):
        raise ValueError("no shard of embeddings")


def _find_view(store: ArrayStore, keys: list[bytes]) -> np.ndarray | None:
    """(D,) float32 of norm 1: the mean view of the first of `keys` that is stored."""
    found: dict[int, np.ndarray] = {}
    for name in store.stored_keys():
        arrays = store.get(name)
        if arrays is None:
            continue
        for rank, key in enumerate(keys):
            row = np.flatnonzero((arrays["image_id"] == np.frombuffer(key, np.uint8)).all(axis=1))
            if len(row):
                found.setdefault(rank, _unit_views(arrays, row[:1])[0])
    return found[min(found)] if found else None


def _nearest(store: ArrayStore, query: np.ndarray, own: list[bytes], num: int) -> list[tuple[str, float]]:
    best: dict[bytes, float] = {}
    for name in store.stored_keys():
        arrays = store.get(name)
        if arrays is None or arrays["plain"].shape[1] != len(query):
            continue
        cosine = _unit_views(arrays, slice(None)) @ query
        for row in np.argsort(-cosine, kind="stable")[: num + len(own)]:
            best[arrays["image_id"][row].tobytes()] = float(cosine[row])
    others = [(key, value) for key, value in best.items() if key not in own]
    return [(key.hex(), value) for key, value in sorted(others, key=lambda kv: (-kv[1], kv[0]))[:num]]


def _unit_views(shard: Arrays, rows: np.ndarray | slice) -> np.ndarray:
    """(n, D) float32, rows of norm 1: the mean of an image's views, as the stages use it."""
    stored = [shard[name][rows].astype(np.float32) for name in ("plain", "mirrored") if name in shard]
    return unit_rows(np.mean(stored, axis=0))
