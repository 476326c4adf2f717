"""Inspects many files on all cores, and remembers the results: unchanged files are not read again."""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cleaner.dataset.files import FoundFile
from cleaner.dataset.images import HASH_BYTES, ImageFacts, inspect_image
from cleaner.dataset.locations import REQUESTS_AT_ONCE, is_remote
from cleaner.dataset.store import Arrays, ArrayStore, digest_of

INSPECTION_VERSION = 2
"""Raise it whenever `inspect_image` gives different results, so that older ones are not reused."""
BATCH_FILES = 128
"""Files in one task: the most that a worker loses if it is killed."""
_FIELDS = tuple(field.name for field in dataclasses.fields(ImageFacts) if field.name != "near_hash")
_REPEATED = ("format", "mode", "fault")  # text with few distinct values: one object for all rows
_MAY_HAVE_CHANGED = ("unreadable", "missing")  # fixing permissions changes neither size nor mtime

Batch = tuple[tuple[FoundFile, ...], int]
Mapper = Callable[[Callable[[Batch], Arrays], Sequence[tuple[str, Batch]], ArrayStore], Iterable[Arrays]]
_Key = tuple[str, int, int]  # name, size, mtime_ns


def inspect_files(
    files: Sequence[FoundFile], *, max_pixels: int, folder: Path, map_tasks: Mapper, advance: Callable[[int], None]
) -> list[ImageFacts]:
    """The facts of each of `files`, in their order; a file that already has a fault is not opened.

    `folder` stores results by name, size and mtime; `map_tasks(function, tasks, store)` does the work, and `advance(n)`
    is called when n more files are done. Batches whose files are all gone are removed from `folder`.
    """
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{max_pixels}")
    sound = [file for file in files if not file.fault]
    seen = _seen_before(store, {_key(file) for file in sound})
    fresh: dict[_Key, ImageFacts] = {}
    for file in sound:
        facts = seen.get(_key(file))
        if facts is not None and facts.fault in _MAY_HAVE_CHANGED:
            fresh[_key(file)] = inspect_image(file.path, max_pixels)
    unseen = [file for file in sound if _key(file) not in seen]
    advance(len(files) - len(unseen))
    for arrays in map_tasks(inspect_batch, list(_batches(unseen, max_pixels)), store):
        found = dict(_unpack(arrays))
        seen.update(found)
        advance(len(found))
    seen.update(fresh)
    return [
        ImageFacts(fault=file.fault, file_bytes=0 if file.is_folder else file.size) if file.fault else seen[_key(file)]
        for file in files
    ]


def inspect_batch(batch: Batch) -> Arrays:
    """Facts of a batch of files as arrays: `facts`, JSON as uint8, and `near_hash` (B, 16) uint8, 0 where none."""
    files, max_pixels = batch
    with warnings.catch_warnings(), ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        look = partial(inspect_image, max_pixels=max_pixels)
        # a remote store is slow to answer but serves many requests at once
        found = list((pool.map if is_remote(files[0].path) else map)(look, [file.path for file in files]))
    rows = [
        [list(_key(file)), [getattr(facts, name) for name in _FIELDS]] for file, facts in zip(files, found, strict=True)
    ]
    hashes = b"".join(facts.near_hash or bytes(HASH_BYTES) for facts in found)
    return {
        "facts": np.frombuffer(json.dumps(rows).encode(), dtype=np.uint8),
        "near_hash": np.frombuffer(hashes, dtype=np.uint8).reshape(-1, HASH_BYTES),
    }


def read_facts(arrays: Arrays) -> list[ImageFacts]:
    """The facts that `inspect_batch` found, in the order of its files."""
    return [facts for _, facts in _unpack(arrays)]


def _unpack(arrays: Arrays) -> Iterator[tuple[_Key, ImageFacts]]:
    rows: list[Any] = json.loads(arrays["facts"].tobytes())
    for (key, values), near_hash in zip(rows, arrays["near_hash"], strict=True):
        facts = dict(zip(_FIELDS, values, strict=True))
        facts |= {name: sys.intern(facts[name]) for name in _REPEATED}
        yield tuple(key), ImageFacts(**facts, near_hash=near_hash.tobytes() if facts["pixel_id"] else b"")


def _seen_before(store: ArrayStore, wanted: set[_Key]) -> dict[_Key, ImageFacts]:
    seen: dict[_Key, ImageFacts] = {}
    for key in store.stored_keys():
        arrays = store.get(key)
        useful = {} if arrays is None else {k: facts for k, facts in _unpack(arrays) if k in wanted}
        if not useful:
            store.path(key).unlink(missing_ok=True)
        seen.update(useful)
    return seen


def _batches(files: Sequence[FoundFile], max_pixels: int) -> Iterator[tuple[str, Batch]]:
    for start in range(0, len(files), BATCH_FILES):
        batch = tuple(files[start : start + BATCH_FILES])
        yield digest_of([_key(file) for file in batch])[:32], (batch, max_pixels)


def _key(file: FoundFile) -> _Key:
    return file.name, file.size, file.mtime_ns
