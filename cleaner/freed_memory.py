"""What the C library does with freed buffers: to hand each back and get it anew costs a page fault for every 4 kB."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory(num_bytes: int) -> None:
    """Tell glibc, if that it is, to keep freed buffers of up to `num_bytes`, and as much free memory."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, num_bytes)
        libc.mallopt(_M_TRIM_THRESHOLD, num_bytes)


def release_freed_memory() -> None:
    """Hand back to the system what glibc, if that it is, and Arrow keep: neither can use the other's."""
    import pyarrow as pa  # workers do without

    pa.default_memory_pool().release_unused()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    is_there = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
    return ctypes.CDLL("libc.so.6") if is_there else None
