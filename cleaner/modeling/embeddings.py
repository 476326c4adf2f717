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
from cleaner.modeling.backbones import Backbone, load_backbone, num_threads, other_network, set_num_threads
from cleaner.modeling.decoding import FILE_TIMEOUT_S, Cost, about_blanks, any_remote, blank, open_decoder
from cleaner.modeling.embedding_rows import EmbeddingRows, as_keys, raw_ids
from cleaner.modeling.embedding_views import Embeddings as Embeddings
from cleaner.modeling.embedding_views import Origin
from cleaner.modeling.embedding_views import join_embeddings as join_embeddings
from cleaner.on_demand import OnDemand
from cleaner.progress import Progress, Task

BATCH_SIZE = 64
"""Every batch has this size, the last one padded, so that an embedding does not depend on its neighbours."""
SHARD_SIZE = 16 * BATCH_SIZE
_BATCHES_AHEAD = 3
VIEWS = ("plain", "mirrored")
"""Names of the views in a shard; with one view, only the first."""
STYLE = "style"
T = TypeVar("T")


class Mapper(Protocol):
    """Runs tasks somewhere and yields their results in order, each kept in the store; see `Engine.map`."""

    def __call__(
        self, function: Callable[[T], Arrays], tasks: Sequence[tuple[str, T]], *, store: ArrayStore | None = None
    ) -> Iterable[Arrays]:
        """Yield `function(argument)` for each (key, argument)."""


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
    scratch: Path | None = None,
) -> Embeddings:
    """Embeddings of images, one row for each of `image_ids` (which may repeat), in their order.

    What `cache` holds is read, a shard at a time into its rows of a table (see `new_table`, whose folder is `scratch`,
    by default `cache`); the rest is computed and stored in shards, so that an interruption loses at most one
    shard. A damaged shard counts as absent. With `map_shards(function, tasks, store=store)` other machines compute
    the shards, with the same bits; without, this process does. `with_style`: style is returned too; shards always
    hold it. An image whose decoder crashes, or takes more than `file_timeout_s` of CPU, is embedded as a blank picture
    with a warning. Raises BadInputError, naming the file, for an image that cannot be decoded.
    """
    names = [*VIEWS[: backbone.settings.views], *([STYLE] if with_style else [])]
    store = ArrayStore(cache / "embeddings" / backbone.key[:20], functools.partial(_require_shard, tuple(names)))
    found = EmbeddingRows(image_ids, names, cache if scratch is None else scratch, store.root)
    for key in store.stored_keys():
        shard = store.get(key)
        if shard is not None:
            found.put(as_keys(shard["image_id"]), shard)
    rows = found.missing()
    if len(rows):
        with progress.task(title, len(rows)) as task:
            missing = Some(image_ids, rows), Some(paths, rows)
            cost = Cost(workers, file_timeout_s)
            if map_shards is not None:
                computed = _embed_elsewhere(*missing, backbone, store, cost, map_shards, task)
            else:
                computed = _embed_here(*missing, backbone, store, cost, task)
            for arrays in computed:
                found.put(as_keys(arrays["image_id"]), arrays)
        rows = found.missing()
        if len(rows):
            progress.warn(about_blanks(Some(paths, rows)[:], file_timeout_s))
            found.put(*_embed_blanks(Some(image_ids, rows)[:], backbone, names))
    tables = found.tables()
    origin = Origin(backbone.key, (backbone.describe(),))
    return Embeddings.of_views([tables[name] for name in VIEWS if name in tables], tables.get(STYLE), origin)


class Some(OnDemand[T]):
    """Some items of a sequence, by their numbers, without a list of them."""

    def __init__(self, items: Sequence[T], rows: np.ndarray) -> None:
        self._items, self._rows = items, rows

    def __len__(self) -> int:
        return len(self._rows)

    def _make(self, number: int) -> T:
        return self._items[int(self._rows[number])]


def _require_shard(names: tuple[str, ...], arrays: Arrays) -> None:
    """Raise ValueError for arrays that are no shard with the arrays `names`."""
    ids, num = arrays["image_id"], len(arrays["image_id"])
    if ids.dtype != np.uint8 or ids.shape != (num, 32):
        raise ValueError("ids that are none")
    for name in names:
        values = arrays[name]
        if values.dtype != np.float16 or values.ndim != 2 or len(values) != num or not np.isfinite(values).all():
            raise ValueError(f"{name} holds no embeddings")


def _embed_blanks(ids: Sequence[str], backbone: Backbone, names: Sequence[str]) -> tuple[np.ndarray, Arrays]:
    """A blank picture under each of some ids; it is never stored."""
    seen = backbone.embed(np.repeat(blank(backbone.image_size)[None], BATCH_SIZE, axis=0))
    return as_keys(raw_ids(ids)), {name: np.repeat(seen[name][:1], len(ids), axis=0) for name in names}


def _embed_here(
    ids: Sequence[str], paths: Sequence[Path], backbone: Backbone, store: ArrayStore, cost: Cost, task: Task
) -> Iterator[Arrays]:
    for arrays in _embed(ids, paths, backbone, cost, task.advance):
        raw = arrays["image_id"]
        if len(raw):
            store.put(_shard_key(raw), arrays)
        yield arrays


def _embed_elsewhere(
    ids: Sequence[str],
    paths: Sequence[Path],
    backbone: Backbone,
    store: ArrayStore,
    cost: Cost,
    map_shards: Mapper,
    task: Task,
) -> Iterator[Arrays]:
    # an `auto` is resolved here, once, and not by each machine for itself
    settings = dataclasses.replace(backbone.settings, precision=cast(Any, backbone.precision))
    there = dataclasses.replace(cost, workers=num_threads())
    machine = (settings, backbone.device.type, backbone.key, there)
    starts = range(0, len(ids), SHARD_SIZE)
    for start, arrays in zip(starts, map_shards(embed_shard, _Shards(ids, paths, machine), store=store), strict=True):
        task.advance(len(ids[start : start + SHARD_SIZE]))
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


class _Shards(OnDemand[tuple[str, Shard]]):
    """Tasks: ids and paths of millions of images take gigabytes."""

    def __init__(self, ids: Sequence[str], paths: Sequence[Path], machine: Any) -> None:
        """`machine`: what a shard holds beside ids and paths."""
        self._ids, self._paths, self._machine = ids, paths, machine

    def __len__(self) -> int:
        return -(-len(self._ids) // SHARD_SIZE)

    def _make(self, number: int) -> tuple[str, Shard]:
        part = slice(number * SHARD_SIZE, (number + 1) * SHARD_SIZE)
        ids = tuple(self._ids[part])
        return _shard_key(raw_ids(ids)), Shard(ids, tuple(map(str, self._paths[part])), *self._machine)


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
        raw = raw_ids(shard)[np.concatenate(is_sound)]
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
