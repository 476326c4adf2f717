"""Permissions that hold for root as well: tests often run as root, which may read and write everything."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION = 0x20080522  # of capget(2), with two words of 32 capabilities
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def permissions_hold() -> Iterator[None]:
    """For the block, this thread may do no more than the mode of a file says, as anybody but root."""
    if os.geteuid() != 0:
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "capset"):
        pytest.skip("root cannot give up its capabilities on this system")
    header, words = _Header(_VERSION, 0), (_Word * 2)()
    assert library.capget(ctypes.byref(header), words) == 0, os.strerror(ctypes.get_errno())
    before = words[0].effective
    words[0].effective = before & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    assert library.capset(ctypes.byref(header), words) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        words[0].effective = before
        assert library.capset(ctypes.byref(header), words) == 0, os.strerror(ctypes.get_errno())
