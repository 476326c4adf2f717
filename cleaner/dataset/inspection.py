"""Inspects many files on all cores, and remembers the results: unchanged files are not read again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, get_type_hints

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from cleaner.dataset.fact_table import FIELDS, FactTable
from cleaner.dataset.found_files import FoundFile, FoundFiles
from cleaner.dataset.images import ImageFacts, identify, inspect_image
from cleaner.dataset.locations import REQUESTS_AT_ONCE, is_remote
from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, NUM_HASHES
from cleaner.dataset.pixels import EXTRA_FORMATS, can_decode
from cleaner.dataset.store import Arrays, ArrayStore, clear_folder, digest_of
from cleaner.errors import BadInputError, first_few
from cleaner.on_demand import OnDemand
from cleaner.progress import Progress
from cleaner.reading import reading
from cleaner.worker_pool import Rescue, WorkerDiedError, restart_clock

INSPECTION_VERSION = 5
"""Raise it whenever `inspect_image` gives different results, so that older ones are not reused."""
BATCH_FILES = 128
"""The most files in one task: what a worker loses if it is killed."""
_FEWEST_TASKS, _FEWEST_FILES = 32, 8
"""Small sets make tasks of fewer files, so that workers end at about the same time."""
_MAY_HAVE_CHANGED = ("unreadable", "missing", "decoder_crash")
"""Faults of which size and mtime say nothing: permissions may be mended, memory free, the decoder a newer one."""

_Key = tuple[str, int, int]  # name, size, mtime_ns
_HINTS = get_type_hints(ImageFacts)
_ROWS: Any = list[tuple[_Key, tuple[*(_HINTS[name] for name in FIELDS)]]]  # type: ignore[misc]
"""What `facts` of `inspect_batch` hold."""


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
    files: FoundFiles,
    title: str,
    *,
    limits: Limits,
    folder: Path,
    scratch: Path,
    map_tasks: Mapper,
    progress: Progress,
    anew: bool = False,
) -> FactTable:
    """The facts of each of `files`, in their order; a file that already has a fault is not opened.

    `folder` stores results by name, size and mtime; `map_tasks` does the work in processes that a file may end: it has
    the fault `decoder_crash` then, or `timeout` (tried again with a larger limit). Batches whose files are all gone are
    removed from `folder`. `scratch` is a local folder for what is held on disk. `anew`: every file is read, whatever is
    stored, and a warning names those that have other bytes although size and time are as they were.
    """
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{limits.max_pixels}")
    facts, sound = FactTable(len(files), scratch), files.sound
    for row, file in files.faulty.items():
        facts.put_fault(row, file.fault, 0 if file.is_folder else file.size)
    known = _take_known(store, files, facts, limits.file_timeout_s)
    before = facts.digests["image_id"].copy() if anew else None
    if anew:
        clear_folder(store.root)
    tasks = BatchTasks(files, np.flatnonzero(sound if anew else sound & ~known), limits)
    for key in tasks.keys:
        store.path(key).unlink(missing_ok=True)  # what it holds, if anything, is to be found out again
    with progress.task(title, len(files)) as task:
        task.advance(len(files) - len(tasks.rows))
        for place, arrays in enumerate(map_tasks(inspect_batch, tasks, store=store, rescue=rescue_of(limits))):
            rows = tasks.rows_of(place)
            _Piece.unpack(arrays).put(facts, rows, np.arange(len(rows)))
            task.advance(len(rows))
    if before is not None:
        other = known & (before != facts.digests["image_id"]).any(axis=1)
        if changed := [files[row].name for row in np.flatnonzero(other).tolist()]:
            progress.warn(
                f"{len(changed):,} files have other bytes than before, under the same size and time: "
                f"{first_few(changed)}"
            )
    return facts


def inspect_batch(batch: Batch) -> Arrays:
    """Facts of a batch of files as arrays.

    `facts`, JSON as uint8; `near_hash` (B, 128) uint8, 0 where none; `num_keypoints` (B,) int64 and `keypoints` (K,)
    uint8, those of all files; `file_timeout_s` (1,) float64, the limit.
    """
    # small matrices: threads of BLAS in each worker would only wait for one another
    with threadpool_limits(1, "blas"), warnings.catch_warnings(), ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        # a remote store is slow to answer but serves many requests at once
        each = (pool.map if is_remote(batch.files[0].path) else map)(partial(_inspect, batch.limits), batch.files)
        return _pack(batch, list(each))


def remember_facts(files: FoundFiles, facts: Sequence[ImageFacts], limits: Limits, folder: Path) -> None:
    """Store the `facts` of `files`, known from elsewhere, in `folder`, so that `inspect_files` does not read them."""
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{limits.max_pixels}")
    tasks = BatchTasks(files, np.arange(len(files)), limits)
    for place, (key, batch) in enumerate(tasks):
        store.put(key, _pack(batch, [facts[row] for row in tasks.rows_of(place).tolist()]))


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
        [list(_key(file)), [getattr(facts, name) for name in FIELDS]]
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
    piece = _Piece.unpack(arrays)
    table = FactTable(len(piece.keys))
    piece.put(table, np.arange(len(table)), np.arange(len(table)))
    return list(table)


@dataclass(frozen=True)
class _Piece:
    """What `inspect_batch` found of B files."""

    keys: Sequence[_Key]
    values: dict[str, Sequence[Any]]
    """Of each of `FIELDS`, B."""
    hashes: np.ndarray
    keypoints: list[np.ndarray]

    @classmethod
    def unpack(cls, arrays: Arrays) -> _Piece:
        rows: list[Any] = msgspec.convert(json.loads(arrays["facts"].tobytes()), _ROWS)
        keys, values = zip(*rows, strict=True)
        ends = np.cumsum(arrays["num_keypoints"])
        keypoints = np.split(arrays["keypoints"].view(KEYPOINT), ends[:-1])
        if not len(keys) == len(keypoints) == len(arrays["near_hash"]):
            raise ValueError("it has not all facts of each file")
        return cls(keys, dict(zip(FIELDS, zip(*values, strict=True), strict=True)), arrays["near_hash"], keypoints)

    def put(self, facts: FactTable, rows: np.ndarray, places: np.ndarray) -> None:
        """Enter the files at `places` (R,) int into `rows` (R,) int of a table."""
        values = {name: [of_all[place] for place in places] for name, of_all in self.values.items()}
        facts.put(rows, values, self.hashes[places], [self.keypoints[place] for place in places])


def _take_known(store: ArrayStore, files: FoundFiles, facts: FactTable, file_timeout_s: float) -> np.ndarray:
    """Fill in what is stored of `files`, but for faults that may be mended since: (N,) bool, of which it is."""
    known, keys = np.zeros(len(files), dtype=bool), store.stored_keys()
    if not keys:
        return known
    rows_of = _RowsByKey(files)
    for key in keys:
        arrays = store.get(key)
        if arrays is None or not _take_piece(arrays, store.path(key), rows_of, facts, known, file_timeout_s):
            store.path(key).unlink(missing_ok=True)
    return known


def _take_piece(
    arrays: Arrays, path: Path, rows_of: _RowsByKey, facts: FactTable, known: np.ndarray, file_timeout_s: float
) -> bool:
    """Fill in what a piece holds of the files; whether it holds any, and is as `inspect_batch` writes it."""
    had_less = "file_timeout_s" in arrays and arrays["file_timeout_s"][0] < file_timeout_s
    again = {*_MAY_HAVE_CHANGED, *(["timeout"] if had_less else [])}
    try:
        with reading(path, "file of facts", "delete it"):
            piece = _Piece.unpack(arrays)
            rows = rows_of.find(piece.keys)
            stands = [
                fault not in again and not _is_known_now(fault, kind)
                for fault, kind in zip(piece.values["fault"], piece.values["format"], strict=True)
            ]
            places = np.flatnonzero((rows >= 0) & np.array(stands))
            piece.put(facts, rows[places], places)
            known[rows[places]] = True
    except BadInputError:
        return False
    return bool((rows >= 0).any())


class _RowsByKey:
    """Finds files without a fault by name, size and time, in 16 bytes a file."""

    def __init__(self, files: FoundFiles) -> None:
        self._files = files
        hashes = np.fromiter(map(hash, map(_key, files)), dtype=np.int64, count=len(files))
        self._rows = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]

    def find(self, keys: Sequence[_Key]) -> np.ndarray:
        """(K,) int64: the row of each of `keys`; -1 where no file is as it says."""
        asked = np.array([hash(key) for key in keys], dtype=np.int64)
        starts = np.searchsorted(self._hashes, asked).tolist()
        return np.array([self._find(key, start) for key, start in zip(keys, starts, strict=True)], dtype=np.int64)

    def _find(self, key: _Key, start: int) -> int:
        own = hash(key)
        for at in range(start, len(self._rows)):
            if self._hashes[at] != own:
                return -1
            file = self._files[row := int(self._rows[at])]
            if _key(file) == key and not file.fault:
                return row
        return -1


def _is_known_now(fault: str, kind: str) -> bool:
    """Whether a decoder for an unsupported format was installed since."""
    return fault == "unsupported_format" and kind in EXTRA_FORMATS and can_decode(kind)


def count_batch(num_files: int, *, remote: bool = False) -> int:
    """Files in each task, where there are `num_files`; of `remote` ones many are read at once."""
    return BATCH_FILES if remote else min(BATCH_FILES, max(_FEWEST_FILES, num_files // _FEWEST_TASKS))


class BatchTasks(OnDemand[tuple[str, Batch]]):
    """The tasks that inspect some `rows` (R,) int of `files`."""

    def __init__(self, files: FoundFiles, rows: np.ndarray, limits: Limits) -> None:
        self.rows = rows
        self._files, self._limits = files, limits
        self._num = count_batch(len(rows), remote=len(rows) > 0 and is_remote(files[int(rows[0])].path))
        self.keys = [
            digest_of([_key(file) for file in self._batch(place)], limits.file_timeout_s)[:32]
            for place in range(-(-len(rows) // self._num))
        ]

    def rows_of(self, place: int) -> np.ndarray:
        """The rows of one task's files."""
        part: np.ndarray = self.rows[place * self._num : (place + 1) * self._num]
        return part

    def _batch(self, place: int) -> tuple[FoundFile, ...]:
        return tuple(map(self._files.__getitem__, self.rows_of(place).tolist()))

    def __len__(self) -> int:
        return len(self.keys)

    def _make(self, number: int) -> tuple[str, Batch]:
        return self.keys[number], Batch(self._batch(number), self._limits)


def _key(file: FoundFile) -> _Key:
    return file.name, file.size, file.mtime_ns
