"""Tables of numbers: in memory while they are small, else in files that every process of a run can open.

A file belongs to the run that made it: it has a name, for other processes to open, and is removed with its table. Who
makes one also removes those that a killed run left: they are the ones that nobody holds a lock on. So nothing is ever
taken from an earlier run, whole or not. Why: docs/decisions.md, "Features in files".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cleaner.dataset.locations import is_remote
from cleaner.dataset.scratch import take_room
from cleaner.errors import BadInputError
from cleaner.system_errors import unwritable

BYTES_IN_MEMORY = 1 << 28
"""Larger tables lie in a file."""
_FOLDER, _SUFFIX = "columns", ".table"


class Columns:
    """N rows of blocks of columns, which lie side by side without being copied together."""

    def __init__(self, blocks: Sequence[np.ndarray]) -> None:
        """`blocks`: each (N, D_i), of one type."""
        self.blocks = tuple(blocks)
        self.dtype = self.blocks[0].dtype
        self.shape = (len(self.blocks[0]), sum(block.shape[1] for block in self.blocks))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """A copy (n, D) of some rows, given by number, mask or slice."""
        return np.concatenate([block[rows] for block in self.blocks], axis=-1)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """All of them in memory (N, D)."""
        return np.asarray(self[:], dtype)


Table = np.ndarray | Columns
"""(N, D): its `shape`, its length, and rows by number, mask or slice."""


def blocks_of(table: Table) -> tuple[np.ndarray, ...]:
    """The blocks of columns of a table, from left to right."""
    return table.blocks if isinstance(table, Columns) else (table,)


def side_by_side(tables: Sequence[Table]) -> Table:
    """One table with the columns of several."""
    blocks = [block for table in tables for block in blocks_of(table)]
    return blocks[0] if len(blocks) == 1 else Columns(blocks)


@dataclass(frozen=True)
class TableFile:
    """Where a block of columns lies, for another process; it lies there as long as its maker holds it."""

    path: str
    dtype: str
    shape: tuple[int, int]

    @classmethod
    def of(cls, block: np.ndarray) -> TableFile | None:
        """The file of a block that `new_table` made, None if it is in memory."""
        if not isinstance(block, np.memmap) or block.filename is None:
            return None
        return cls(str(block.filename), block.dtype.str, block.shape)

    def open(self) -> np.ndarray:
        """The block; what is written to it stays in this process.

        Raises BadInputError if the file is gone, or has another size.
        """
        expected = int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize
        try:
            found = Path(self.path).stat().st_size
        except OSError as error:
            raise BadInputError(
                f"{self.path}: features of a run are gone", found=str(error), next_step="run the same command again"
            ) from error
        if found != expected:
            raise BadInputError(
                f"{self.path}: features of a run are damaged",
                expected=f"{expected:,} bytes",
                found=f"{found:,}",
                next_step="run the same command again",
            )
        return np.memmap(self.path, self.dtype, "c", shape=self.shape)


def new_table(num_rows: int, width: int, dtype: DTypeLike, cache: Path | None, *, in_file: bool = False) -> np.ndarray:
    """An uninitialised table (num_rows, width): in memory, or a file below `cache` if it is large or `in_file` asks.

    `cache`: None or a URL for the system's folder for temporary files. Room for all of it is taken at once. Raises
    CleanerError if there is none.
    """
    num_bytes = num_rows * width * np.dtype(dtype).itemsize
    if not num_bytes or (num_bytes <= BYTES_IN_MEMORY and not in_file):
        return np.empty((num_rows, width), dtype)
    if cache is None or is_remote(cache):
        cache = Path(tempfile.gettempdir(), f"cleaner-{os.getuid()}")
    folder = cache / _FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        path, handle = _create(folder)
        try:
            take_room(handle, num_bytes)
            table = np.memmap(path, dtype, "r+", shape=(num_rows, width))
        except BaseException:
            _remove(path, handle, os.getpid())
            raise
    except OSError as error:
        raise unwritable(error, folder) from error
    weakref.finalize(table, _remove, path, handle, os.getpid())
    return table


def remove_leftovers(folder: Path) -> None:
    """Remove the files of runs that were killed: those that nobody holds a lock on."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError), path.open("rb") as file:  # in use, or removed by another process
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _create(folder: Path) -> tuple[Path, int]:
    """A new empty file, and a handle that holds the lock on it."""
    while True:
        path = folder / f"{secrets.token_hex(8)}{_SUFFIX}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):  # a file system without locks keeps its leftovers
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # else another process took it for a leftover
                return path, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _remove(path: Path, handle: int, maker: int) -> None:
    if os.getpid() == maker:  # not a process that was forked from it
        path.unlink(missing_ok=True)
        os.close(handle)
