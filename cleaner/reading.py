"""The boundary for files that people may have touched: whatever is wrong with one ends in an error that names it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from cleaner.errors import BadInputError, CleanerError
from cleaner.system_errors import explain_failure

T = TypeVar("T")
_MOST_CHARS = 300


@contextmanager
def reading(path: Path, what: str, next_step: str, absent: str = "") -> Iterator[None]:
    """For a block that reads the file `path` and checks what it holds, and does nothing else.

    Raises BadInputError for a file that is absent or no regular one (a pipe is never opened), and in place of any
    error but CleanerError: on bytes that somebody else wrote, the libraries that parse them raise nearly anything.
    `what` the file should be is a noun without article; `next_step` mends it, `absent` what to do if it is not there.
    """
    try:
        _require_regular(path, what, next_step)
        yield
    except CleanerError as error:
        error.next_step = error.next_step or next_step
        raise
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such {what}", next_step=absent or next_step) from error
    except Exception as error:
        refused = explain_failure(error, path)
        if refused is not None:
            what_is_wrong = refused.what if str(path) in refused.what else f"{path}: {refused.what}"
            raise BadInputError(what_is_wrong, found=refused.found, next_step=refused.next_step) from error
        raise BadInputError(
            f"{path}: not a readable {what}, or damaged", found=_in_short(error), next_step=next_step
        ) from error


def read_document(path: Path, kind: type[T], what: str, next_step: str, absent: str = "") -> T:
    """A JSON document as the type `kind` declares it: a dataclass, a TypedDict, list[str] …; raises as `reading`."""
    with reading(path, what, next_step, absent):
        return msgspec.convert(json.loads(path.read_bytes()), kind)


def _require_regular(path: Path, what: str, next_step: str) -> None:
    """Open and close a file: to open a pipe, or to read a device, may take for ever, unless it is done so."""
    if "://" in str(path):  # behind a URL there are no others
        return
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
    finally:
        os.close(handle)
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise BadInputError(f"{path}: {kind}", expected=f"a file: {what}", next_step=f"move it away, then {next_step}")


def _in_short(error: Exception) -> str:
    """The first line of an error, with its kind where the text alone says nothing."""
    text = (str(error).strip().splitlines() or [""])[0][:_MOST_CHARS]
    return text if " " in text else f"{type(error).__name__}: {text}".rstrip(": ")
