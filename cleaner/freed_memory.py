"""What the C library does with freed buffers: to hand each back and get it anew costs a page fault for every 4 kB."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory(num_bytes: int) -> None:
    """Tell glibc, if that it is, to keep freed buffers of up to `num_bytes`, and as much free memory."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, num_bytes)
        libc.mallopt(_M_TRIM_THRESHOLD, num_bytes)
