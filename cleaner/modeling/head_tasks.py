"""The work of linear heads over many rows, cut into shards: sums of features, and predictions of held-out rows.

A shard is the work of one core: its arithmetic uses one thread, so that its result depends on no number of threads,
workers or machines.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from cleaner.dataset.locations import is_remote, locate
from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.errors import CleanerError
from cleaner.modeling.backbones import num_threads, set_num_threads
from cleaner.modeling.embedding_views import EmbeddingFiles, Embeddings, Origin
from cleaner.modeling.feature_pieces import Pieces
from cleaner.modeling.features import HeadFeatures, KeptFeatures, Standardised
from cleaner.modeling.linear_head import LinearHead
from cleaner.scoring.held_out import HeldOutByModel, predict_by_model
from cleaner.scoring.out_of_fold import OutOfFold
from cleaner.threads import map_in_threads

_CHUNK_ROWS = 8192
_SUMMED_ROWS = 65_536
"""Rows of a shard of sums at least: seconds of a core."""
PREDICTED_ROWS = 8192
"""Rows of a shard of predictions: a second of a core where there are thousands of classes."""
_BYTES_IN_FLIGHT = 1 << 30
"""Results that tasks of this process may hold at a time, unless a single one is larger."""


class Source(Protocol):
    """Where the features of a learner's rows come from."""

    def open(self) -> HeadFeatures | KeptFeatures:
        """The features."""


@dataclass(frozen=True, eq=False)
class Here:
    """Features of this process."""

    features: HeadFeatures | KeptFeatures

    def open(self) -> HeadFeatures | KeptFeatures:
        """The features."""
        return self.features


@dataclass(frozen=True, eq=False)
class StandardisedThere:
    """Standardised embeddings for other processes."""

    embeddings: EmbeddingFiles | Pieces
    """Where they lie."""
    moments: np.ndarray
    """(2, D) float32: mean and deviation by which they are standardised."""

    @classmethod
    def put(cls, embeddings: Embeddings, moments: np.ndarray, cache: Path) -> StandardisedThere:
        """For processes and machines that reach `cache`."""
        if is_remote(cache):
            return cls(Pieces.put(embeddings, cache), moments)
        return cls(replace(embeddings.files(), style=None, origin=Origin()), moments)

    def open(self) -> Standardised:
        """The features."""
        return _open_once(self.embeddings, self.moments.tobytes())


@dataclass(frozen=True)
class Shared:
    """Arrays that all tasks of a fit read: in memory, or in a store that all machines reach."""

    key: str
    """A digest of the arrays and of all else that results depend on."""
    arrays: Arrays | None
    root: str = ""

    def open(self) -> Arrays:
        """The arrays. Raises CleanerError where the store does not have them."""
        return _get_once(self.root, self.key) if self.arrays is None else self.arrays


@dataclass(frozen=True, eq=False)
class Shard:
    """Consecutive rows of a fit."""

    source: Source
    shared: Shared
    part: slice
    """Which of the n rows of the shared arrays."""
    view: str = ""
    """What is summed, plain or mirrored."""


def sum_shard(shard: Shard) -> Arrays:
    """Sums over the rows of a shard, for each of P kinds of rows: `gram` (P, D, D), `sums` (P, K, D), `counts` (P, K).

    All float64. Shared arrays: `rows` (n,) int64, `targets` (n,) int64, `weights` (n,) float32, `kinds` (n,) int64,
    `shape` (2,): P and K.
    """
    set_num_threads(1)
    features, shared = shard.source.open(), shard.shared.open()
    num_kinds, num_classes = (int(v) for v in shared["shape"])
    rows, targets, weights, kinds = (shared[name][shard.part] for name in ("rows", "targets", "weights", "kinds"))
    cells = kinds * num_classes + targets
    gram = torch.zeros(num_kinds, features.dim, features.dim, dtype=torch.float64)
    sums = torch.zeros(num_kinds * num_classes, features.dim, dtype=torch.float64)
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        x = features(shard.view, rows[part])
        weighted = x * torch.from_numpy(weights[part])[:, None]
        for kind in range(num_kinds):
            mine = torch.from_numpy(np.flatnonzero(kinds[part] == kind))
            gram[kind] += (weighted[mine].T @ x[mine]).double()
        sums.index_add_(0, torch.from_numpy(cells[part]), weighted.double())
    counts = np.bincount(cells, weights, num_kinds * num_classes).reshape(num_kinds, num_classes)
    shaped = sums.view(num_kinds, num_classes, features.dim)
    return {"gram": gram.numpy(), "sums": shaped.numpy(), "counts": counts}


def predict_shard(shard: Shard) -> Arrays:
    """`OutOfFold.arrays` of the rows of a shard, each predicted by its own of M heads.

    Shared arrays: `weight` (M, K, D), `bias` (M, K), and the fields of HeldOutByModel.
    """
    set_num_threads(1)
    features, shared = shard.source.open(), shard.shared.open()
    weights, biases = torch.from_numpy(shared["weight"]), torch.from_numpy(shared["bias"])
    heads = [LinearHead(features, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    rows, given, model = (shared[name][shard.part] for name in ("rows", "given", "model"))
    held_out = HeldOutByModel(rows, given, model, shared["scorable"], shared["num_others"].item())
    return predict_by_model(heads, held_out).arrays()


def rows_of_sums(num_kinds: int, num_classes: int, dim: int) -> int:
    """Rows of a shard of sums: as many as weigh more than its result, and seconds of a core at least."""
    return max(_SUMMED_ROWS, 4 * num_kinds * (num_classes + dim))


@dataclass(frozen=True, eq=False)
class Work:
    """A function over n rows, cut into shards."""

    function: Callable[[Shard], Arrays]
    arrays: Arrays
    """What all shards read; `rows` is (n,)."""
    shard_rows: int
    """Of a shard, at most."""
    result_bytes: int
    """What a shard's result takes."""
    view: str = ""

    @property
    def key(self) -> str:
        """A digest of all that results depend on, besides the features and the size of shards."""
        return digest_of(self.function.__name__, self.view, *self.arrays, *self.arrays.values())[:24]

    @property
    def parts(self) -> list[slice]:
        """The rows of each shard: `shard_rows` at most, and as many as any other has, so that no core waits long."""
        num = len(self.arrays["rows"])
        bounds = np.linspace(0, num, -(-num // self.shard_rows) + 1).astype(int).tolist()
        return list(itertools.starmap(slice, itertools.pairwise(bounds)))


def predict_in_shards(
    heads: Sequence[LinearHead], held_out: HeldOutByModel, run: Callable[[Work], Iterator[tuple[slice, Arrays]]]
) -> OutOfFold:
    """The predictions of all images, each by its own of the heads; `run` is `map_here` or `map_there`."""
    arrays = {
        "weight": np.stack([head.weight.numpy() for head in heads]),
        "bias": np.stack([head.bias.numpy() for head in heads]),
        "num_others": np.array([held_out.num_others]),
    } | {name: getattr(held_out, name) for name in ("rows", "given", "model", "scorable")}
    num_classes = held_out.scorable.shape[1]
    num_others = min(held_out.num_others, num_classes - 1)
    result = OutOfFold.empty(held_out.given, num_classes, num_others)
    for part, found in run(Work(predict_shard, arrays, PREDICTED_ROWS, PREDICTED_ROWS * (16 + 6 * num_others))):
        result.put(part, OutOfFold.from_arrays(held_out.given[part], found))
    return result


def map_here(work: Work, source: Source) -> Iterator[tuple[slice, Arrays]]:
    """The rows of each shard and its result, in their order, computed by as many threads as arithmetic has."""
    threads = num_threads()
    shared = Shared(work.key, work.arrays)
    shards = [Shard(source, shared, part, work.view) for part in work.parts]
    at_once = max(1, min(threads, _BYTES_IN_FLIGHT // work.result_bytes))
    set_num_threads(1)
    try:
        for shard, result in map_in_threads(work.function, shards, at_once):
            yield shard.part, result
    finally:
        set_num_threads(threads)


def map_there(
    work: Work, source: Source, engine_map: Callable[..., Iterable[Arrays]], folder: Path
) -> Iterator[tuple[slice, Arrays]]:
    """As `map_here`, as tasks of one core each; all machines reach `folder`, where results are stored on their way."""
    store, key = ArrayStore(folder), work.key
    store.remember(key, lambda: work.arrays)
    shared = Shared(key, None, str(folder))
    tasks = [(f"{key}-{part.start}-{part.stop}", Shard(source, shared, part, work.view)) for part in work.parts]
    yield from zip(work.parts, engine_map(work.function, tasks, store=store), strict=True)


@functools.lru_cache(maxsize=1)
def _open_once(embeddings: EmbeddingFiles | Pieces, moments: bytes) -> Standardised:
    return Standardised(embeddings.open(), np.frombuffer(moments, np.float32).reshape(2, -1).copy())


@functools.lru_cache(maxsize=1)
def _get_once(root: str, key: str) -> Arrays:
    arrays = ArrayStore(locate(root)).get(key)
    if arrays is None:
        raise CleanerError(
            f"{root}: what the machine that asks wrote there cannot be read from here",
            expected="storage that all nodes share",
            next_step="use a workspace on a shared file system, or --storage URL (docs/scaling.md)",
        )
    return arrays
