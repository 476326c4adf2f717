"""What the system refuses (memory, disk, permission, open files), said so that people can do something about it."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

from cleaner.errors import BadInputError, CleanerError

_OUT_OF_MEMORY = (
    "out of memory",
    "allocate memory",  # torch's allocator, the linker
    "failed to map segment",  # a library that does not fit below a limit
    "can't start new thread",  # its stack does not fit
    "bad_alloc",
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TOO_MANY = (errno.EMFILE, errno.ENFILE)
_LEAST_BYTES = 768 << 20
_OTHER_KIND = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENXIO)
_NO_PATH = (errno.ELOOP, errno.ENAMETOOLONG)
_MOST_CHARS = 300
_AGAIN = "run the same command again: finished work is kept"


def explain_failure(error: BaseException, path: str | Path = "") -> CleanerError | None:
    """What to tell people about an error that says what the system refused; None if it says nothing of the kind.

    `path`: the file in question, where the error does not know it, or knows a temporary one.
    """
    text = str(error)
    if is_out_of_memory(error):
        return CleanerError(
            "out of memory",
            found=text,
            next_step=f"use fewer --workers, end other programs or raise the limit, then {_AGAIN}; "
            "`cleaner plan IMAGES` estimates what a run takes",
        )
    if isinstance(error, RuntimeError) and text.startswith("Symlink loop"):  # of Path.resolve before Python 3.13
        return BadInputError(text[:_MOST_CHARS], next_step="remove the link that leads to itself")
    if not isinstance(error, OSError):
        return None
    file = str(path or error.filename or "output")
    if error.errno in _NO_SPACE:
        return CleanerError(
            f"{file}: no space left to write it", found=text, next_step=f"free disk space, then {_AGAIN}"
        )
    if error.errno in _REFUSED:
        advice = "check owner and mode of it and of its folder (ls -l), or use another workspace with -C DIR"
        return CleanerError(f"{file}: permission denied", found=text, next_step=advice)
    if error.errno in _TOO_MANY:
        return CleanerError("too many open files", found=text, next_step=f"raise the limit (ulimit -n), then {_AGAIN}")
    if error.errno in _OTHER_KIND:
        where = f"{file}: something else is where a file or a folder should be"
        return BadInputError(where, found=text, next_step=f"move it away, then {_AGAIN}")
    if error.errno in _NO_PATH:
        return BadInputError(
            f"{file[:_MOST_CHARS]}: no path that can be followed", found=text[:_MOST_CHARS], next_step="check it"
        )
    if error.errno == errno.EIO:
        return CleanerError(f"{file}: the disk fails", found=text, next_step="check the disk, and that it is mounted")
    return None


def unwritable(error: OSError, path: str | Path) -> CleanerError:
    """What to tell people about a file or folder that cannot be written, whatever the system says of it."""
    return explain_failure(error, path) or CleanerError(
        f"{path}: cannot be written", found=str(error), next_step="free disk space, or check permissions"
    )


def require_address_space() -> None:
    """Raise CleanerError where a limit (ulimit -v) leaves less than libraries need to load.

    Below it OpenBLAS waits forever for its buffers, or interrupts the program because its threads do not start.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_BYTES:
        raise CleanerError(
            f"out of memory: a limit leaves this process {limit / 1e6:,.0f} MB of address space",
            expected=f"{_LEAST_BYTES / 1e6:,.0f} MB or more",
            next_step="raise the limit (ulimit -v)",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had: Python's, NumPy's, Arrow's, torch's, or the system's."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError | ImportError | OSError) and any(
        t in str(error).lower() for t in _OUT_OF_MEMORY
    )
