"""Embeddings of images, computed once and cached by image_id and everything else they depend on."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import torch
from torch.nn import functional

from cleaner.config import EmbeddingSettings
from cleaner.dataset.images import decode_upright, read_image
from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.errors import BadInputError
from cleaner.modeling.backbones import Backbone, load_backbone, num_threads, other_network, set_num_threads
from cleaner.modeling.decoding import FILE_TIMEOUT_S, Cost, about_blanks, any_remote, blank, open_decoder
from cleaner.progress import Progress, Task

BATCH_SIZE = 64
"""Every batch has this size, the last one padded, so that an embedding does not depend on its neighbours."""
SHARD_SIZE = 16 * BATCH_SIZE
_BATCHES_AHEAD = 3
VIEWS = ("plain", "mirrored")
"""Names of the views in a shard; with one view, only the first."""
STYLE = "style"
_Shard = tuple[np.ndarray, Arrays]
"""Ids (n,) S32, and arrays of the images under the names of VIEWS and STYLE."""
T = TypeVar("T")


class Mapper(Protocol):
    """Runs tasks somewhere and yields their results in order, each kept in the store; see `Engine.map`."""

    def __call__(
        self, function: Callable[[T], Arrays], tasks: Sequence[tuple[str, T]], *, store: ArrayStore | None = None
    ) -> Iterable[Arrays]:
        """Yield `function(argument)` for each (key, argument)."""


@dataclass(frozen=True)
class Origin:
    """The backbones that computed some embeddings."""

    key: str = ""
    """`Backbone.key`, or a digest of several."""
    backbones: tuple[dict[str, Any], ...] = ()
    """`Backbone.describe()` of each."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N images, in one view or two."""

    plain: np.ndarray
    """(N, D) float16."""
    mirrored: np.ndarray
    """(N, D) float16, of the image flipped left to right; with one view, `plain` itself."""
    style: np.ndarray | None = None
    """(N, S) float16, see modeling/style.py; None where it was not requested."""
    origin: Origin = Origin()

    @classmethod
    def of_views(
        cls, views: Sequence[np.ndarray], style: np.ndarray | None = None, origin: Origin = Origin()
    ) -> Embeddings:
        """From one or two views, the plain one first."""
        return cls(views[0], views[-1], style, origin)

    @property
    def views(self) -> tuple[np.ndarray, ...]:
        """The one or two different views."""
        return (self.plain,) if self.mirrored is self.plain else (self.plain, self.mirrored)

    def take(self, rows: np.ndarray) -> Embeddings:
        """The embeddings of some rows, given by number or mask."""
        style = None if self.style is None else self.style[rows]
        return Embeddings.of_views([view[rows] for view in self.views], style, self.origin)

    def mean(self, rows: np.ndarray | slice) -> np.ndarray:
        """(n, D) float32: the mean over the views of some rows."""
        first, *more = (view[rows].astype(np.float32) for view in self.views)
        return (first + more[0]) / 2 if more else first


def compute_embeddings(
    image_ids: Sequence[str],
    paths: Sequence[Path],
    backbone: Backbone,
    cache: Path,
    *,
    workers: int,
    progress: Progress,
    map_shards: Mapper | None = None,
    with_style: bool = False,
    title: str = "embedding",
    file_timeout_s: float = FILE_TIMEOUT_S,
) -> Embeddings:
    """Embeddings of images, one row for each of `image_ids` (which may repeat), in their order.

    What `cache` holds is read; the rest is computed and stored in shards, so that an interruption loses at most one
    shard. A damaged shard counts as absent. With `map_shards(function, tasks, store=store)` other machines compute
    the shards, with the same bits; without, this process does. `with_style`: style is returned too; shards always
    hold it. An image whose decoder crashes, or takes more than `file_timeout_s` of CPU, is embedded as a blank picture
    with a warning. Raises BadInputError, naming the file, for an image that cannot be decoded.
    """
    names = [*VIEWS[: backbone.settings.views], *([STYLE] if with_style else [])]
    store = ArrayStore(cache / "embeddings" / backbone.key[:20], functools.partial(_require_shard, tuple(names)))
    wanted = np.array([bytes.fromhex(i) for i in image_ids], dtype="S32")
    stored = list(_read_shards(store, set(wanted.tolist()), names))
    known = {key for ids, _ in stored for key in ids.tolist()}
    missing: dict[bytes, Path] = {}
    for key, path in zip(wanted.tolist(), paths, strict=True):
        if key not in known:
            missing.setdefault(key, path)
    if missing:
        with progress.task(title, len(missing)) as task:
            stored += _compute(missing, backbone, store, Cost(workers, file_timeout_s), task, map_shards)
        done = {key for ids, _ in stored for key in ids.tolist()}
        blanks = {key: path for key, path in missing.items() if key not in done}
        if blanks:
            progress.warn(about_blanks(list(blanks.values()), file_timeout_s))
            stored.append(_embed_blanks(list(blanks), backbone, names))
    if not stored:
        found = {name: np.zeros((0, 0), np.float16) for name in names}
    else:
        _require_one_network(store, [arrays for _, arrays in stored], names)
        ids = np.concatenate([shard_ids for shard_ids, _ in stored])
        order = np.argsort(ids, kind="stable")
        rows = order[np.searchsorted(ids[order], wanted)]
        found = {name: np.concatenate([arrays[name] for _, arrays in stored])[rows] for name in names}
    origin = Origin(backbone.key, (backbone.describe(),))
    return Embeddings.of_views([found[name] for name in VIEWS if name in found], found.get(STYLE), origin)


def join_embeddings(each: Sequence[Embeddings]) -> Embeddings:
    """One row for each image of what several backbones saw of it, in as many views."""
    if len(each) == 1:
        return each[0]
    views = [np.concatenate(columns, axis=1) for columns in zip(*(e.views for e in each), strict=True)]
    styles = [e.style for e in each if e.style is not None]
    origin = Origin(digest_of(*(e.origin.key for e in each)), tuple(b for e in each for b in e.origin.backbones))
    return Embeddings.of_views(views, np.concatenate(styles, axis=1) if styles else None, origin)


def _require_shard(names: tuple[str, ...], arrays: Arrays) -> None:
    """Raise ValueError for arrays that are no shard with the arrays `names`."""
    ids, num = arrays["image_id"], len(arrays["image_id"])
    if ids.dtype != np.uint8 or ids.shape != (num, 32):
        raise ValueError("ids that are none")
    for name in names:
        values = arrays[name]
        if values.dtype != np.float16 or values.ndim != 2 or len(values) != num or not np.isfinite(values).all():
            raise ValueError(f"{name} holds no embeddings")


def _require_one_network(store: ArrayStore, shards: Sequence[Arrays], names: Sequence[str]) -> None:
    if len({tuple(arrays[name].shape[1] for name in names) for arrays in shards}) > 1:
        raise BadInputError(
            f"{store.root}: embeddings of different networks lie there together",
            next_step="delete that folder and run the same command again",
        )


def _read_shards(store: ArrayStore, wanted: set[bytes], names: Sequence[str]) -> Iterator[_Shard]:
    for key in store.stored_keys():
        arrays = store.get(key)
        if arrays is None:
            continue
        shard_ids = _as_keys(arrays["image_id"])
        hit = np.array([i in wanted for i in shard_ids.tolist()], dtype=bool)
        if hit.any():
            wanted.difference_update(shard_ids[hit].tolist())
            yield shard_ids[hit], {name: arrays[name][hit] for name in names}


# NumPy's S32 drops trailing zero bytes, on both sides of every comparison; no two digests become equal.
def _as_keys(raw: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(raw).view("S32").reshape(-1)


def _embed_blanks(keys: list[bytes], backbone: Backbone, names: Sequence[str]) -> _Shard:
    """A blank picture under each of some ids; it is never stored."""
    seen = backbone.embed(np.repeat(blank(backbone.image_size)[None], BATCH_SIZE, axis=0))
    return np.array(keys, dtype="S32"), {name: np.repeat(seen[name][:1], len(keys), axis=0) for name in names}


def _compute(
    missing: dict[bytes, Path],
    backbone: Backbone,
    store: ArrayStore,
    cost: Cost,
    task: Task,
    map_shards: Mapper | None,
) -> Iterator[_Shard]:
    ids, paths = [k.ljust(32, b"\0").hex() for k in missing], list(missing.values())
    if map_shards is not None:
        shards = _embed_elsewhere(ids, paths, backbone, store, cost, map_shards, task)
    else:
        shards = _embed_here(ids, paths, backbone, store, cost, task)
    for arrays in shards:
        yield _as_keys(arrays["image_id"]), arrays


def _embed_here(
    ids: list[str], paths: list[Path], backbone: Backbone, store: ArrayStore, cost: Cost, task: Task
) -> Iterator[Arrays]:
    for arrays in _embed(ids, paths, backbone, cost, task.advance):
        raw = arrays["image_id"]
        if len(raw):
            store.put(_shard_key(raw), arrays)
        yield arrays


def _embed_elsewhere(
    ids: list[str],
    paths: list[Path],
    backbone: Backbone,
    store: ArrayStore,
    cost: Cost,
    map_shards: Mapper,
    task: Task,
) -> Iterator[Arrays]:
    # an `auto` is resolved here, once, and not by each machine for itself
    settings = dataclasses.replace(backbone.settings, precision=cast(Any, backbone.precision))
    there = dataclasses.replace(cost, workers=num_threads())
    tasks = []
    for start in range(0, len(ids), SHARD_SIZE):
        part = slice(start, start + SHARD_SIZE)
        image_ids, files = tuple(ids[part]), tuple(map(str, paths[part]))
        shard = Shard(image_ids, files, settings, backbone.device.type, backbone.key, there)
        tasks.append((_shard_key(_raw_ids(image_ids)), shard))
    for (_, shard), arrays in zip(tasks, map_shards(embed_shard, tasks, store=store), strict=True):
        task.advance(len(shard.image_ids))
        yield arrays


@dataclass(frozen=True)
class Shard:
    """Images to be embedded on any machine: ids, paths and settings, never pixels or weights."""

    image_ids: tuple[str, ...]
    paths: tuple[str, ...]
    settings: EmbeddingSettings
    device: str
    backbone_key: str
    """`Backbone.key` on the machine that asks; the worker's must be the same."""
    cost: Cost
    """With as many workers as the machine that asks has threads of arithmetic: results depend on their number in the
    last bit."""


def embed_shard(shard: Shard) -> Arrays:
    """The embeddings of a shard: image_id (B, 32) uint8, and what `Backbone.embed` returns for its images.

    Images whose decoder died are left out. Raises BackboneError if this machine's backbone is another one.
    """
    backbone = _load_once(shard.settings, shard.device)
    set_num_threads(shard.cost.workers)
    if backbone.key != shard.backbone_key:
        raise other_network()
    (arrays,) = _embed(shard.image_ids, shard.paths, backbone, shard.cost, lambda num: None)
    return arrays


@functools.lru_cache(maxsize=1)
def _load_once(settings: EmbeddingSettings, device: str) -> Backbone:
    return load_backbone(settings, device)


def _embed(
    ids: Sequence[str], paths: Sequence[str | Path], backbone: Backbone, cost: Cost, advance: Callable[[int], None]
) -> Iterator[Arrays]:
    """The shards of images, in order, at most `SHARD_SIZE` each, without those whose decoder died.

    Images are decoded while the network runs.
    """
    batches = _decoded_batches(ids, paths, backbone.image_size, cost)
    for first in range(0, len(ids), SHARD_SIZE):
        shard = ids[first : first + SHARD_SIZE]
        parts, is_sound = [], []
        for _ in range(0, len(shard), BATCH_SIZE):
            pixels, sound = next(batches)
            num = len(pixels)
            if num < BATCH_SIZE:
                pixels = np.concatenate([pixels, np.repeat(pixels[-1:], BATCH_SIZE - num, axis=0)])
            parts.append({name: values[:num][sound] for name, values in backbone.embed(pixels).items()})
            is_sound.append(sound)
            advance(num)
        raw = _raw_ids(shard)[np.concatenate(is_sound)]
        yield {"image_id": raw} | {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def load_square(path: str | Path, size_px: int) -> np.ndarray:
    """Pixels (size_px, size_px, 3) uint8 as the network gets them, aspect not kept."""
    return to_square(decode_upright(read_image(path), path, size_px), size_px)


def to_square(upright: np.ndarray, size_px: int) -> np.ndarray:
    """Pixels (H, W, 3) uint8 as (size_px, size_px, 3), aspect not kept.

    Torch's bicubic resize differs from Pillow's by at most two grey levels and takes a third of the time.
    """
    pixels = torch.from_numpy(upright).permute(2, 0, 1)
    square = functional.interpolate(pixels[None], size=(size_px, size_px), mode="bicubic", antialias=True)
    return square[0].permute(1, 2, 0).contiguous().numpy()


def _raw_ids(ids: Sequence[str]) -> np.ndarray:
    """Image ids as (n, 32) uint8."""
    return np.frombuffer(bytes.fromhex("".join(ids)), np.uint8).reshape(-1, 32)


def _shard_key(raw_ids: np.ndarray) -> str:
    return digest_of(raw_ids)[:24]


def _decoded_batches(
    ids: Sequence[str], paths: Sequence[str | Path], size_px: int, cost: Cost
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches (B, size, size, 3) uint8, and which images (B,) bool were decoded, a few ahead of the network.

    Raises BadInputError for a file whose bytes do not match its id: it changed since the scan.
    """
    finish = functools.partial(to_square, size_px=size_px)
    pending: deque[list[Future[np.ndarray | None]]] = deque()
    starts = iter(range(0, len(paths), BATCH_SIZE))
    with open_decoder(decode_upright, size_px, cost, remote=any_remote(paths)) as decoder:
        while True:
            for start in itertools.islice(starts, _BATCHES_AHEAD - len(pending)):
                part = slice(start, start + BATCH_SIZE)
                pending.append([decoder.submit(i, finish) for i in zip(ids[part], paths[part], strict=True)])
            if not pending:
                return
            found = [f.result() for f in pending.popleft()]
            pixels = np.stack([blank(size_px) if one is None else one for one in found])
            yield pixels, np.array([one is not None for one in found])
