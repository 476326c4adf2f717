r"""File names as text: how a manifest writes any name that a file system holds, and how to get back to the file.

A name is bytes, read as UTF-8 whatever the locale. A part of a path that holds bytes that are not UTF-8, or characters
that cannot be printed, is written with backslash escapes: `\xff`, `\u2028`, and `\\` for a backslash. So is a part
that would be taken for an escaped one otherwise; any other part, `a\b` too, stands as it is. So two names never become
one, and `image_path` finds the file again.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cleaner.dataset.locations import is_remote

if TYPE_CHECKING:
    import pandas as pd

_CONTROLS = frozenset({"Cc", "Zl", "Zp"})  # controls, line and paragraph separators
_NOT_UTF8 = "Cs"  # surrogates: how Python represents a byte that is not UTF-8
# no escape stands for a character that can be printed, so that none hides a dot or a slash
_ESCAPE = re.compile(r"\\(?:\\|x((?!00)[01][0-9a-f]|7f|[89a-f][0-9a-f])|u(?!00[0-7]|d[89a-f])([0-9a-f]{4}))")
_ESCAPED = re.compile(rf"(?:[^\\]|{_ESCAPE.pattern})*")


def read_name(native: str) -> str:
    """A name as Python gives it, read as UTF-8 whatever the locale; surrogates stand for bytes that are not UTF-8."""
    return native if native.isascii() else os.fsencode(native).decode("utf-8", "surrogateescape")


def to_file_name(path: str) -> str:
    """The `file_name` of a path relative to the images root, as `read_name` gives it."""
    if path.isascii() and path.isprintable() and "\\" not in path:
        return path
    return "/".join(_escape(part) if _needs_escapes(part) else part for part in path.split("/"))


def to_path(file_name: str) -> str:
    """The path relative to the images root that a `file_name` stands for: the inverse of `to_file_name`."""
    if "\\" not in file_name:
        return file_name
    return "/".join(_unescape(part) if _ESCAPED.fullmatch(part) else part for part in file_name.split("/"))


def image_path(root: Path, file_name: str) -> Path:
    """The file below the images root `root` that a manifest calls `file_name`."""
    path = to_path(file_name)
    if is_remote(root):
        return cast(Path, cast(Any, root) / path)
    return root / (path if path.isascii() else os.fsdecode(path.encode("utf-8", "surrogateescape")))


def is_printable(path: str) -> bool:
    """Whether a path holds no control characters and no line breaks; bytes that are not UTF-8 do not count."""
    return (path.isascii() and path.isprintable()) or all(unicodedata.category(c) not in _CONTROLS for c in path)


def matching_names(names: pd.Series[str], known: Collection[str]) -> pd.Series[str]:
    """`names` as they stand among the `known` file names: those that differ in their Unicode form alone are one.

    An accent is one character or two: macOS and Linux write it differently, and people cannot see it. A name that is
    known as it is, or in no form, or that may be two known ones, stays.
    """
    there = known if isinstance(known, Set) else set(known)
    unknown = names[~names.isin(there)]
    if unknown.map(str.isascii).all():
        return names
    forms: dict[str, set[str]] = {}
    for name in there:
        if not name.isascii():
            forms.setdefault(unicodedata.normalize("NFC", name), set()).add(name)
    found = {name: forms.get(unicodedata.normalize("NFC", name), set()) for name in unknown}
    one = {name: next(iter(these)) for name, these in found.items() if len(these) == 1}
    return names.map(lambda name: one.get(name, name))


def _needs_escapes(part: str) -> bool:
    strange = any(unicodedata.category(c) in _CONTROLS or unicodedata.category(c) == _NOT_UTF8 for c in part)
    return strange or ("\\" in part and _ESCAPED.fullmatch(part) is not None)


def _escape(part: str) -> str:
    out = []
    for char in part:
        code, kind = ord(char), unicodedata.category(char)
        if kind == _NOT_UTF8:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char == "\\":
            out.append("\\\\")
        elif kind in _CONTROLS:
            out.append(f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}")
        else:
            out.append(char)
    return "".join(out)


def _unescape(part: str) -> str:
    def char(found: re.Match[str]) -> str:
        byte, point = found.groups()
        if byte:
            return chr(int(byte, 16) + (0xDC00 if byte >= "80" else 0))
        return chr(int(point, 16)) if point else "\\"

    return _ESCAPE.sub(char, part)
