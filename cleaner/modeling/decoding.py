"""Decodes images for networks, in processes that may die of it: a picture whose decoder dies becomes a blank one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.config import ScanSettings
from cleaner.dataset.images import read_image
from cleaner.dataset.locations import REQUESTS_AT_ONCE, is_remote
from cleaner.errors import first_few
from cleaner.worker_pool import WorkerDiedError, WorkerPool

FILE_TIMEOUT_S: float = ScanSettings.file_timeout
_WHITE = 255
_Image = tuple[str, str | Path]
"""An image_id, hex SHA-256, and the file that had it when it was scanned."""
Decode = Callable[[bytes, str | Path, int], np.ndarray]
"""Makes pixels of a file's bytes, its name (for errors) and a side in pixels; importable."""


def blank(size_px: int) -> np.ndarray:
    """Pixels (size_px, size_px, 3) uint8 that stand for a picture that cannot be decoded."""
    return np.full((size_px, size_px, 3), _WHITE, np.uint8)


def about_blanks(paths: Sequence[str | Path], file_timeout_s: float) -> str:
    """The warning about pictures that stay blank."""
    return (
        f"the decoder crashed over {len(paths):,} of the images that scan could read, or took more than "
        f"{file_timeout_s:g} s of CPU: {first_few(sorted(map(str, paths)))}; each counts as a blank picture, and "
        "`cleaner decide FILE --drop` leaves it out"
    )


@dataclass(frozen=True)
class Cost:
    """What decoding may take."""

    workers: int
    """Processes."""
    file_timeout_s: float = FILE_TIMEOUT_S
    """Seconds of CPU for one image."""


class Decoder:
    """Threads that read files, and processes that decode them."""

    def __init__(self, pool: WorkerPool, threads: ThreadPoolExecutor, decode: Decode, size_px: int) -> None:
        self._pool, self._threads = pool, threads
        self._decode, self._size_px = decode, size_px

    def submit(self, image: _Image, finish: Callable[[np.ndarray], np.ndarray]) -> Future[np.ndarray | None]:
        """`finish` of the pixels of an image, computed by a thread; None if its decoder died of it twice.

        The future raises BadInputError, naming the file, if it cannot be decoded or its bytes do not match its id.
        """
        return self._threads.submit(self._load, image, finish)

    def _load(self, image: _Image, finish: Callable[[np.ndarray], np.ndarray]) -> np.ndarray | None:
        image_id, path = image
        data = read_image(path, image_id)
        for _ in range(2):  # once more: it may have died for lack of memory
            try:
                return finish(self._pool.call(self._decode, data, path, self._size_px))
            except WorkerDiedError:
                continue
        return None


@contextmanager
def open_decoder(decode: Decode, size_px: int, cost: Cost, *, remote: bool) -> Iterator[Decoder]:
    """A decoder for a `with` block; files behind URLs are read by more threads."""
    num = max(1, cost.workers)
    threads = ThreadPoolExecutor(num * (REQUESTS_AT_ONCE if remote else 2), thread_name_prefix="decode")
    with WorkerPool(num, cpu_limit_s=cost.file_timeout_s) as pool:
        try:
            yield Decoder(pool, threads, decode, size_px)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def any_remote(paths: Sequence[str | Path]) -> bool:
    """Whether files stand behind URLs; all of a set do, or none."""
    return bool(len(paths)) and is_remote(paths[0])
