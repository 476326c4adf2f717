"""Local folders, and URLs of stores that many machines can reach (s3://, gs://, file:// …)."""

from __future__ import annotations

import errno
import os
import re
import stat
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from cleaner.dataset.archives import open_member
from cleaner.errors import CleanerError

REQUESTS_AT_ONCE = 8
"""Requests to a store that one core has open at a time: an answer takes 30 ms or so, decoding an image about 4 ms."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(place: str | Path) -> bool:
    """Whether a place is a URL that fsspec opens; a `Path` never is, because it collapses `//`."""
    return _URL.match(str(place)) is not None


def locate(place: str | Path) -> Path:
    """The place that a text names: a `Path`, or for a URL a `UPath`, which has the same methods.

    `file://` is the local file system. Raises CleanerError for a URL whose packages are not installed.
    """
    text = str(place)
    if not is_remote(text):
        return Path(text)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    try:
        from upath import UPath

        # others write to the store as well, so listings are not cached
        return cast(Path, UPath(text, use_listings_cache=False))
    except (ImportError, ValueError) as error:
        raise CleanerError(
            f"{text}: this kind of URL cannot be opened",
            found=str(error),
            next_step='run `pip install "cleaner-images[ray]"` for s3://, or install the fsspec package of another',
        ) from error


def own_cache(cache: str | Path) -> Path:
    """Where this machine maps files from: the common cache, or a folder of its own if that is a URL."""
    if not is_remote(cache):
        return Path(cache)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cleaner"


def open_regular(path: str | Path) -> BufferedIOBase:
    """A local file, or an image inside one (see `cleaner.dataset.archives`), opened to read its bytes.

    Raises OSError for anything but a regular file: to open a pipe, or to read a device, may take for ever.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except NotADirectoryError:  # the path leads through a file
        return open_member(path)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.ENXIO, "not a regular file", str(path))
    return os.fdopen(handle, "rb")


def file_size(place: Path) -> int:
    """Bytes of a file; of an image inside a local one, after it was read. Raises OSError if there is none."""
    try:
        return int(place.stat().st_size)
    except NotADirectoryError:
        with open_member(place) as file:
            return file.seek(0, os.SEEK_END)


def read_head(place: str | Path, num_bytes: int = 4096) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        if is_remote(place):
            remote = cast(Any, locate(place))
            return bytes(remote.fs.cat_file(remote.path, 0, num_bytes))
        with open_regular(place) as file:
            return file.read(num_bytes)
    except Exception:  # a store has errors of its own
        return b""


def read_bytes(place: str | Path) -> bytes:
    """The bytes of a regular file; from a URL, in a single request.

    Raises OSError, even if a store has its own errors.
    """
    if not is_remote(place):
        with open_regular(place) as file:
            return file.read()
    remote = cast(Any, locate(place))
    try:
        data: bytes = remote.fs.cat_file(remote.path)
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{place}: {type(error).__name__}: {error}") from error
    return data
