"""Resized pixels of a set of images, decoded once and kept on disk; read by row, never all at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.dataset.images import load_rgb
from cleaner.dataset.store import atomic_writer, digest_of
from cleaner.progress import Progress

_SHARD_IMAGES = 512


@dataclass(frozen=True)
class Pixels:
    """Pixels of N images, mapped from disk."""

    size_px: int
    shards: list[np.ndarray]
    """Each (n, size, size, 3) uint8."""
    shard: np.ndarray
    """(N,) int64: the shard of each row."""
    offset: np.ndarray
    """(N,) int64: its place in the shard."""
    digest: str
    """Of the images in their order and the size: equal for equal pixels."""

    def __len__(self) -> int:
        return len(self.shard)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Pixels (n, size, size, 3) uint8 RGB of rows (n,) int64."""
        out = np.empty((len(rows), self.size_px, self.size_px, 3), np.uint8)
        for i, (shard, offset) in enumerate(zip(self.shard[rows], self.offset[rows], strict=True)):
            out[i] = self.shards[shard][offset]
        return out


def load_pixels(
    image_ids: Sequence[str], paths: Sequence[Path], size_px: int, cache: Path, *, workers: int, progress: Progress
) -> Pixels:
    """Pixels of images, one row for each of `image_ids` (hex SHA-256, may repeat), squares of `size_px`.

    What `cache` holds is used; the rest is decoded and stored in shards, each whole or not at all, so that an
    interruption loses one shard at most. Raises BadInputError, naming the file, for an image that cannot be decoded
    or whose bytes are not those of its id.
    """
    folder = cache / "pixels" / str(size_px)
    place: dict[str, tuple[int, int]] = {}
    shards: list[np.ndarray] = []
    wanted = set(image_ids)
    for path in sorted(folder.glob("*.npy")):
        _open_shard(path, wanted, place, shards)
    missing: dict[str, Path] = {}
    for key, path in zip(image_ids, paths, strict=True):
        if key not in place:
            missing.setdefault(key, path)
    if missing:
        with progress.task("decoding", len(missing)) as task, ThreadPoolExecutor(max(1, workers)) as pool:
            items = list(missing.items())
            for start in range(0, len(items), _SHARD_IMAGES):
                part = items[start : start + _SHARD_IMAGES]
                images = pool.map(lambda item: load_rgb(item[1], size_px, image_id=item[0]), part)
                path = _write_shard(folder, [key for key, _ in part], np.stack(list(images)))
                _open_shard(path, wanted, place, shards)
                task.advance(len(part))
    at = np.array([place[key] for key in image_ids], np.int64).reshape(-1, 2)
    return Pixels(size_px, shards, at[:, 0], at[:, 1], digest_of(size_px, "".join(image_ids).encode()))


def _write_shard(folder: Path, keys: list[str], pixels: np.ndarray) -> Path:
    path = folder / f"{digest_of(keys)[:24]}.npy"
    with atomic_writer(path) as file:
        np.save(file, pixels)
    # the ids come last: a shard without them does not count
    with atomic_writer(path.with_suffix(".ids")) as file:
        file.write("\n".join(keys).encode())
    return path


def _open_shard(path: Path, wanted: set[str], place: dict[str, tuple[int, int]], shards: list[np.ndarray]) -> None:
    """Add the shard to `shards`, and where its wanted images lie to `place`; a damaged one counts as absent."""
    try:
        keys = path.with_suffix(".ids").read_text(encoding="ascii").split()
        if not wanted.intersection(keys):
            return
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return
    if len(pixels) != len(keys):
        return
    shards.append(pixels)
    for offset, key in enumerate(keys):
        if key in wanted:
            place.setdefault(key, (len(shards) - 1, offset))
