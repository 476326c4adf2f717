"""Embeddings of images, computed once and kept: cache keyed by image_id and everything else they depend on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.dataset.images import load_rgb
from cleaner.dataset.store import ArrayStore, digest_of
from cleaner.modeling.backbones import Backbone
from cleaner.progress import Progress

BATCH_SIZE = 64
"""Every batch has this size, the last one padded, so that an embedding does not depend on its neighbours."""
_SHARD_BATCHES = 16
_BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N images in two views."""

    plain: np.ndarray
    """(N, D) float16."""
    mirrored: np.ndarray
    """(N, D) float16, of the image flipped left to right."""

    def take(self, rows: np.ndarray) -> Embeddings:
        """The embeddings of some rows, given by number or mask."""
        return Embeddings(self.plain[rows], self.mirrored[rows])


def compute_embeddings(
    image_ids: Sequence[str],
    paths: Sequence[Path],
    backbone: Backbone,
    cache: Path,
    *,
    workers: int,
    progress: Progress,
) -> Embeddings:
    """Embeddings of images, one row for each of `image_ids` (which may repeat), in their order.

    What is in `cache` is read; only the rest is computed, and stored in shards, so that an interruption loses
    at most one shard. A damaged shard counts as absent. Raises BadInputError, naming the file, for an image
    that cannot be decoded.
    """
    store = ArrayStore(cache / "embeddings" / backbone.key[:20])
    wanted = (
        np.array([bytes.fromhex(i) for i in image_ids], dtype="S32") if len(image_ids) else np.zeros(0, dtype="S32")
    )
    known_ids, plain, mirrored = _read_shards(store, set(wanted.tolist()))
    known = set(known_ids.tolist())
    missing: dict[bytes, Path] = {}
    for key, path in zip(wanted.tolist(), paths, strict=True):
        if key not in known:
            missing.setdefault(key, path)
    if missing:
        parts = [(known_ids, plain, mirrored), *_compute(missing, backbone, store, workers, progress)]
        known_ids = np.concatenate([p[0] for p in parts])
        plain = np.concatenate([p[1] for p in parts if len(p[0])])
        mirrored = np.concatenate([p[2] for p in parts if len(p[0])])
    order = np.argsort(known_ids, kind="stable")
    rows = order[np.searchsorted(known_ids[order], wanted)] if len(wanted) else np.zeros(0, dtype=np.int64)
    return Embeddings(plain[rows], mirrored[rows])


def _read_shards(store: ArrayStore, wanted: set[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, plain, mirrored = [], [], []
    for key in store.stored_keys():
        arrays = store.get(key)
        if arrays is None:
            continue
        shard_ids = _as_keys(arrays["image_id"])
        hit = np.array([i in wanted for i in shard_ids.tolist()], dtype=bool)
        wanted.difference_update(shard_ids[hit].tolist())
        ids.append(shard_ids[hit])
        plain.append(arrays["plain"][hit])
        mirrored.append(arrays["mirrored"][hit])
    if not ids:
        return np.zeros(0, dtype="S32"), np.zeros((0, 0), np.float16), np.zeros((0, 0), np.float16)
    return np.concatenate(ids), np.concatenate(plain), np.concatenate(mirrored)


# numpy's S32 drops trailing zero bytes, on both sides of every comparison alike; no digest becomes another.
def _as_keys(raw: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(raw).view("S32").reshape(-1)


def _compute(
    missing: dict[bytes, Path], backbone: Backbone, store: ArrayStore, workers: int, progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    keys, paths = list(missing), list(missing.values())
    with progress.task("embedding", len(keys)) as task:
        batches = _decoded_batches(keys, paths, backbone.image_size, workers)
        starts = list(range(0, len(keys), BATCH_SIZE))
        for shard in (starts[i : i + _SHARD_BATCHES] for i in range(0, len(starts), _SHARD_BATCHES)):
            views = []
            for start in shard:
                pixels = next(batches)
                num = len(pixels)
                if num < BATCH_SIZE:
                    pixels = np.concatenate([pixels, np.repeat(pixels[-1:], BATCH_SIZE - num, axis=0)])
                plain, mirrored = backbone.embed(pixels)
                views.append((plain[:num], mirrored[:num]))
                task.advance(min(BATCH_SIZE, len(keys) - start))
            ids = np.array(keys[shard[0] : shard[-1] + BATCH_SIZE], dtype="S32")
            plain, mirrored = (np.concatenate([v[i] for v in views]) for i in (0, 1))
            raw = np.frombuffer(b"".join(k.ljust(32, b"\0") for k in ids.tolist()), np.uint8).reshape(-1, 32)
            store.put(digest_of(raw)[:24], {"image_id": raw, "plain": plain, "mirrored": mirrored})
            yield ids, plain, mirrored


def _decoded_batches(keys: list[bytes], paths: list[Path], size_px: int, workers: int) -> Iterator[np.ndarray]:
    """Batches (B, size, size, 3) uint8, decoded by threads, a few batches ahead of the network.

    Raises BadInputError for a file whose bytes are not those of its key: it changed since it was scanned.
    """
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")
    pending: list[list[Future[np.ndarray]]] = []
    starts = iter(range(0, len(paths), BATCH_SIZE))
    try:
        while True:
            for start in itertools.islice(starts, _BATCHES_AHEAD - len(pending)):
                part = slice(start, start + BATCH_SIZE)
                pending.append(
                    [
                        pool.submit(load_rgb, p, size_px, image_id=k.ljust(32, b"\0").hex())
                        for k, p in zip(keys[part], paths[part], strict=True)
                    ]
                )
            if not pending:
                return
            yield np.stack([f.result() for f in pending.pop(0)])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
