"""Resized pixels of a set of images, decoded once and cached on disk; read by row, never all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cleaner.dataset.images import PIXELS_VERSION, decode_rgb
from cleaner.dataset.store import Arrays, atomic_writer, digest_of, waiting_lock
from cleaner.errors import BadInputError
from cleaner.modeling.decoding import FILE_TIMEOUT_S, Cost, about_blanks, any_remote, blank, open_decoder
from cleaner.modeling.embeddings import Mapper
from cleaner.progress import Progress
from cleaner.reading import reading

_SHARD_IMAGES = 512


@dataclass(frozen=True)
class MappedPixels:
    """Pixels of N images, by row number, mapped from disk."""

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


class PixelsLater:
    """Pixels that are opened, and decoded if the cache lacks them, when some are first taken."""

    def __init__(self, digest: str, load: Callable[[], MappedPixels]) -> None:
        self.digest, self._load = digest, load

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See MappedPixels.take."""
        return self._opened.take(rows)

    @cached_property
    def _opened(self) -> MappedPixels:
        return self._load()


Pixels = MappedPixels | PixelsLater


@dataclass(frozen=True)
class PixelShard:
    """Images to be decoded on any machine: ids and paths."""

    image_ids: tuple[str, ...]
    paths: tuple[str, ...]
    size_px: int
    folder: Path
    """Where the shard is stored."""
    cost: Cost

    @property
    def path(self) -> Path:
        """The file of the pixels; the ids are beside it."""
        return self.folder / f"{digest_of(self.image_ids)[:24]}.npy"


def load_pixels(
    image_ids: Sequence[str],
    paths: Sequence[str | Path],
    size_px: int,
    cache: Path,
    *,
    workers: int,
    progress: Progress,
    map_shards: Mapper | None = None,
    file_timeout_s: float = FILE_TIMEOUT_S,
) -> MappedPixels:
    """Pixels of images, one row for each of `image_ids` (hex SHA-256, may repeat), squares of `size_px`.

    What `cache` holds is used; the rest is decoded and stored in shards, each whole or not at all, so that an
    interruption loses at most one shard. With `map_shards(function, tasks)` other machines do that in the same cache.
    An image whose decoder crashes, or takes more than `file_timeout_s` of CPU, is a blank picture, with a warning.
    Raises BadInputError, naming the file, for an image that cannot be decoded or whose bytes do not match its id.
    """
    folder = cache / "pixels" / f"{size_px}-v{PIXELS_VERSION}"
    place: dict[str, tuple[int, int]] = {}
    shards: list[np.ndarray] = []
    wanted = set(image_ids)
    _open_shards(folder, size_px, wanted, place, shards)
    if len(place) < len(wanted):
        with waiting_lock(folder / ".lock"):  # tasks of one machine that need the same images decode them once
            _open_shards(folder, size_px, wanted, place, shards)
            missing = {key: str(path) for key, path in zip(image_ids, paths, strict=True) if key not in place}
            _decode(missing, size_px, folder, Cost(workers, file_timeout_s), progress, map_shards)
            _open_shards(folder, size_px, wanted, place, shards)
    blanks = {key: str(path) for key, path in zip(image_ids, paths, strict=True) if key not in place}
    if blanks:
        progress.warn(about_blanks(list(blanks.values()), file_timeout_s))
        place |= dict.fromkeys(blanks, (len(shards), 0))
        shards.append(blank(size_px)[None])
    at = np.array([place[key] for key in image_ids], np.int64).reshape(-1, 2)
    return MappedPixels(size_px, shards, at[:, 0], at[:, 1], digest_pixels(image_ids, size_px))


def digest_pixels(image_ids: Sequence[str], size_px: int) -> str:
    """`digest` of the pixels of images in their order."""
    return digest_of(size_px, "".join(image_ids).encode())


def decode_shard(shard: PixelShard) -> Arrays:
    """Decode the images of a shard and store them, but for those whose decoder dies; returns their number, `num`."""
    with open_decoder(decode_rgb, shard.size_px, shard.cost, remote=any_remote(shard.paths)) as decoder:
        waiting = [decoder.submit(i, _as_it_is) for i in zip(shard.image_ids, shard.paths, strict=True)]
        images = {key: f.result() for key, f in zip(shard.image_ids, waiting, strict=True)}
    sound = {key: pixels for key, pixels in images.items() if pixels is not None}
    if sound:
        _store(shard, sound)
    return {"num": np.array(len(images))}


def _as_it_is(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _store(shard: PixelShard, images: dict[str, np.ndarray]) -> None:
    with atomic_writer(shard.path) as file:
        np.save(file, np.stack(list(images.values())))
    # the ids come last: a shard without them does not count
    with atomic_writer(shard.path.with_suffix(".ids")) as file:
        file.write("\n".join(images).encode())


def _decode(
    missing: dict[str, str], size_px: int, folder: Path, cost: Cost, progress: Progress, map_shards: Mapper | None
) -> None:
    items, tasks = list(missing.items()), []
    for start in range(0, len(items), _SHARD_IMAGES):
        ids, paths = zip(*items[start : start + _SHARD_IMAGES], strict=True)
        shard = PixelShard(ids, paths, size_px, folder, cost)
        tasks.append((shard.path.stem, shard))
    done = (decode_shard(shard) for _, shard in tasks) if map_shards is None else map_shards(decode_shard, tasks)
    with progress.task("decoding", len(items)) as task:
        for arrays in done:
            task.advance(int(arrays["num"]))


def _open_shards(
    folder: Path, size_px: int, wanted: set[str], place: dict[str, tuple[int, int]], shards: list[np.ndarray]
) -> None:
    """Open those shards of the folder that hold wanted images without a place."""
    for path in sorted(folder.glob("*.npy")):
        _open_shard(path, size_px, wanted, place, shards)


def _open_shard(
    path: Path, size_px: int, wanted: set[str], place: dict[str, tuple[int, int]], shards: list[np.ndarray]
) -> None:
    """Add the shard to `shards`, and the places of its wanted images to `place`; a damaged one counts as absent."""
    try:
        with reading(path, "shard of pixels", "delete it"):
            keys = path.with_suffix(".ids").read_text(encoding="ascii").split()
            if not any(key in wanted and key not in place for key in keys):
                return
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
            if pixels.shape != (len(keys), size_px, size_px, 3) or pixels.dtype != np.uint8:
                raise ValueError("another shape or type")
    except BadInputError:
        return
    shards.append(pixels)
    for offset, key in enumerate(keys):
        if key in wanted:
            place.setdefault(key, (len(shards) - 1, offset))
