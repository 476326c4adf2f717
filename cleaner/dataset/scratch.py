"""Arrays too large for memory, in files without a name that end with the arrays, however the program ends."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cleaner.errors import CleanerError
from cleaner.system_errors import explain_failure


def scratch_array(folder: Path | None, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Zeros of this type and shape, mapped from a file in `folder`; in memory if that is None.

    Raises CleanerError if there is no room for it.
    """
    num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if folder is None or num_bytes == 0:
        return np.zeros(shape, dtype)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            take_room(file.fileno(), num_bytes)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise explain_failure(error, folder) or CleanerError(
            f"{folder}: no room for {num_bytes / 1e9:.1f} GB of passing data",
            found=str(error),
            next_step="free disk space, or check permissions",
        ) from error


def take_room(handle: int, num_bytes: int) -> None:
    """Give an open file its size on disk, before it is mapped: a map that finds the disk full ends the program.

    Raises OSError if there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, num_bytes)
    else:  # macOS
        os.ftruncate(handle, num_bytes)
