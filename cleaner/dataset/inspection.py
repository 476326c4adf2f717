"""Inspects many files on all cores, and remembers the results: unchanged files are not read again."""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from cleaner.dataset.files import FoundFile
from cleaner.dataset.images import ImageFacts, identify, inspect_image
from cleaner.dataset.locations import REQUESTS_AT_ONCE, is_remote
from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, NUM_HASHES
from cleaner.dataset.pixels import EXTRA_FORMATS, can_decode
from cleaner.dataset.store import Arrays, ArrayStore, clear_folder, digest_of
from cleaner.errors import BadInputError, first_few
from cleaner.progress import Progress
from cleaner.reading import reading
from cleaner.worker_pool import Rescue, WorkerDiedError, restart_clock

INSPECTION_VERSION = 4
"""Raise it whenever `inspect_image` gives different results, so that older ones are not reused."""
BATCH_FILES = 128
"""The most files in one task: what a worker loses if it is killed."""
_FEWEST_TASKS, _FEWEST_FILES = 32, 8
"""Small sets make tasks of fewer files, so that workers end at about the same time."""
_FIELDS = tuple(field.name for field in dataclasses.fields(ImageFacts) if field.name not in ("near_hash", "keypoints"))
_REPEATED = ("format", "mode", "fault", "notes")  # text with few distinct values: one object for all rows
_MAY_HAVE_CHANGED = ("unreadable", "missing", "decoder_crash")
"""Faults of which size and mtime say nothing: permissions may be mended, memory free, the decoder a newer one."""

_Key = tuple[str, int, int]  # name, size, mtime_ns


@dataclass(frozen=True)
class Limits:
    """What a file may cost."""

    max_pixels: int
    """Images whose header promises more are not decoded."""
    file_timeout_s: float
    """Seconds of CPU."""


@dataclass(frozen=True)
class Batch:
    """The files of one task."""

    files: tuple[FoundFile, ...]
    limits: Limits


class Mapper(Protocol):
    """Runs tasks and yields their results in order, each kept in the store; see `Engine.map`."""

    def __call__(
        self,
        function: Callable[[Batch], Arrays],
        tasks: Sequence[tuple[str, Batch]],
        *,
        store: ArrayStore,
        rescue: Rescue[Batch],
    ) -> Iterable[Arrays]:
        """Yield `function(argument)` for each (key, argument)."""


def inspect_files(
    files: Sequence[FoundFile],
    title: str,
    *,
    limits: Limits,
    folder: Path,
    map_tasks: Mapper,
    progress: Progress,
    anew: bool = False,
) -> list[ImageFacts]:
    """The facts of each of `files`, in their order; a file that already has a fault is not opened.

    `folder` stores results by name, size and mtime; `map_tasks` does the work in processes that a file may end: it has
    the fault `decoder_crash` then, or `timeout` (tried again with a larger limit). Batches whose files are all gone are
    removed from `folder`. `anew`: every file is read, whatever is stored, and a warning names those that have other
    bytes although size and time are as they were.
    """
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{limits.max_pixels}")
    sound = [file for file in files if not file.fault]
    before = _seen_before(store, {_key(file) for file in sound}, limits.file_timeout_s)
    seen = {} if anew else before
    if anew:
        clear_folder(store.root)
    unseen = [file for file in sound if _key(file) not in seen]
    tasks = list(_batches(unseen, limits))
    for key, _ in tasks:
        store.path(key).unlink(missing_ok=True)  # what it holds, if anything, is to be found out again
    with progress.task(title, len(files)) as task:
        task.advance(len(files) - len(unseen))
        for arrays in map_tasks(inspect_batch, tasks, store=store, rescue=rescue_of(limits)):
            found = dict(_unpack(arrays))
            seen.update(found)
            task.advance(len(found))
    if changed := sorted(key[0] for key, facts in before.items() if facts.image_id != seen[key].image_id):
        progress.warn(
            f"{len(changed):,} files have other bytes than before, under the same size and time: {first_few(changed)}"
        )
    return [
        ImageFacts(fault=file.fault, file_bytes=0 if file.is_folder else file.size) if file.fault else seen[_key(file)]
        for file in files
    ]


def inspect_batch(batch: Batch) -> Arrays:
    """Facts of a batch of files as arrays.

    `facts`, JSON as uint8; `near_hash` (B, 112) uint8, 0 where none; `num_keypoints` (B,) int64 and `keypoints` (K,)
    uint8, those of all files; `file_timeout_s` (1,) float64, the limit.
    """
    # small matrices: threads of BLAS in each worker would only wait for one another
    with threadpool_limits(1, "blas"), warnings.catch_warnings(), ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        # a remote store is slow to answer but serves many requests at once
        each = (pool.map if is_remote(batch.files[0].path) else map)(partial(_inspect, batch.limits), batch.files)
        return _pack(batch, list(each))


def remember_facts(files: Sequence[FoundFile], facts: Sequence[ImageFacts], limits: Limits, folder: Path) -> None:
    """Store the `facts` of `files`, known from elsewhere, in `folder`, so that `inspect_files` does not read them."""
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{limits.max_pixels}")
    known = dict(zip(map(_key, files), facts, strict=True))
    for key, batch in _batches(files, limits):
        store.put(key, _pack(batch, [known[_key(file)] for file in batch.files]))


def rescue_of(limits: Limits) -> Rescue[Batch]:
    """How `inspect_batch` goes on where a file ends its worker: that file gets a fault."""
    return Rescue(_each_file, _blame, _join, limits.file_timeout_s)


def _inspect(limits: Limits, file: FoundFile) -> ImageFacts:
    restart_clock()
    return inspect_image(file.path, limits.max_pixels)


def _each_file(batch: Batch) -> list[Batch]:
    return [replace(batch, files=(file,)) for file in batch.files]


def _blame(batch: Batch, error: WorkerDiedError) -> Arrays:
    """The facts of the one file whose worker died of it."""
    (file,) = batch.files
    known = identify(file.path, batch.limits.max_pixels)
    fault = "timeout" if error.is_timeout else "decoder_crash"
    return _pack(batch, [known if known.fault else replace(known, fault=fault)])


def _join(parts: Sequence[Arrays]) -> Arrays:
    rows = [row for part in parts for row in json.loads(part["facts"].tobytes())]
    joined = {
        name: np.concatenate([part[name] for part in parts]) for name in ("near_hash", "num_keypoints", "keypoints")
    }
    return parts[0] | joined | {"facts": np.frombuffer(json.dumps(rows).encode(), dtype=np.uint8)}


def _pack(batch: Batch, found: Sequence[ImageFacts]) -> Arrays:
    rows = [
        [list(_key(file)), [getattr(facts, name) for name in _FIELDS]]
        for file, facts in zip(batch.files, found, strict=True)
    ]
    hashes = b"".join(facts.near_hash or bytes(NUM_HASHES * HASH_BYTES) for facts in found)
    keypoints = [np.frombuffer(facts.keypoints, dtype=np.uint8) for facts in found]
    return {
        "facts": np.frombuffer(json.dumps(rows).encode(), dtype=np.uint8),
        "near_hash": np.frombuffer(hashes, dtype=np.uint8).reshape(-1, NUM_HASHES * HASH_BYTES),
        "num_keypoints": np.array([len(points) // KEYPOINT.itemsize for points in keypoints]),
        "keypoints": np.concatenate(keypoints),
        "file_timeout_s": np.array([batch.limits.file_timeout_s]),
    }


def read_facts(arrays: Arrays) -> list[ImageFacts]:
    """The facts that `inspect_batch` found, in the order of its files."""
    return [facts for _, facts in _unpack(arrays)]


def _unpack(arrays: Arrays) -> Iterator[tuple[_Key, ImageFacts]]:
    rows: list[Any] = json.loads(arrays["facts"].tobytes())
    ends = np.cumsum(arrays["num_keypoints"]) * KEYPOINT.itemsize
    keypoints = np.split(arrays["keypoints"], ends[:-1])
    for (key, values), near_hash, points in zip(rows, arrays["near_hash"], keypoints, strict=True):
        facts = dict(zip(_FIELDS, values, strict=True))
        facts |= {name: sys.intern(facts[name]) for name in _REPEATED}
        looks = {"near_hash": near_hash.tobytes(), "keypoints": points.tobytes()} if facts["pixel_id"] else {}
        yield tuple(key), msgspec.convert(facts | looks, ImageFacts)


def _seen_before(store: ArrayStore, wanted: set[_Key], file_timeout_s: float) -> dict[_Key, ImageFacts]:
    """What is known of the `wanted` files, but for faults that may be mended since."""
    seen: dict[_Key, ImageFacts] = {}
    for key in store.stored_keys():
        arrays = store.get(key)
        useful = {} if arrays is None else _among(wanted, store.path(key), arrays)
        if arrays is None or not useful:
            store.path(key).unlink(missing_ok=True)
            continue
        had_less = "file_timeout_s" in arrays and arrays["file_timeout_s"][0] < file_timeout_s
        again = {*_MAY_HAVE_CHANGED, *(["timeout"] if had_less else [])}
        seen.update({k: facts for k, facts in useful.items() if facts.fault not in again and not _is_known_now(facts)})
    return seen


def _among(wanted: set[_Key], path: Path, arrays: Arrays) -> dict[_Key, ImageFacts]:
    """The facts of the `wanted` files; none if the arrays are not those of a batch, which then counts as absent."""
    try:
        with reading(path, "file of facts", "delete it"):
            return {key: facts for key, facts in _unpack(arrays) if key in wanted}
    except BadInputError:
        return {}


def _is_known_now(facts: ImageFacts) -> bool:
    """Whether a decoder for an unsupported format was installed since."""
    return facts.fault == "unsupported_format" and facts.format in EXTRA_FORMATS and can_decode(facts.format)


def count_batch(num_files: int, *, remote: bool = False) -> int:
    """Files in each task, where there are `num_files`; of `remote` ones many are read at once."""
    return BATCH_FILES if remote else min(BATCH_FILES, max(_FEWEST_FILES, num_files // _FEWEST_TASKS))


def _batches(files: Sequence[FoundFile], limits: Limits) -> Iterator[tuple[str, Batch]]:
    num = count_batch(len(files), remote=bool(files) and is_remote(files[0].path))
    for start in range(0, len(files), num):
        batch = tuple(files[start : start + num])
        yield digest_of([_key(file) for file in batch], limits.file_timeout_s)[:32], Batch(batch, limits)


def _key(file: FoundFile) -> _Key:
    return file.name, file.size, file.mtime_ns
