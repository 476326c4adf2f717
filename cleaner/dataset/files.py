"""Lists the files below the images root, and finds those that cannot be used as they are."""

from __future__ import annotations

import errno
import logging
import os
import stat
import unicodedata
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cleaner.dataset.locations import is_remote
from cleaner.dataset.store import digest_of

log = logging.getLogger(__name__)

_HIDDEN = frozenset({"thumbs.db"})
_BAD_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, undecodable bytes, line and paragraph separators


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file below the root, or a folder or link that could not be followed."""

    name: str
    """POSIX path relative to the root; bytes and characters that cannot be printed are backslash escapes."""
    path: str
    """What to open: unlike `name`, exactly as the file system has it (surrogates for undecodable bytes); or a URL."""
    size: int
    """Bytes; 0 where not known."""
    mtime_ns: int
    """Time of the last change, nanoseconds since 1970; 0 where not known."""
    fault: str = ""
    """`outside_root`, `missing`, `unreadable`, `bad_name`, or '' for a regular file with a sound name."""
    is_folder: bool = False
    """True for a folder that cannot be listed, and for a refused link to a folder."""


def list_files(root: Path, follow_symlinks: bool) -> list[FoundFile]:
    """Every file below `root`, sorted by name, except hidden files, hidden folders and Thumbs.db.

    Links to files count as files. Links to folders are followed last, and only to folders not seen before, so loops
    end and no file is listed twice through a link. Unless `follow_symlinks`, a link out of `root` has the fault
    `outside_root`. A dangling link is `missing`; a link that loops, a folder that cannot be listed, and anything that
    is no regular file (it is never opened) are `unreadable`. A `root` that is a URL has no links.
    """
    if is_remote(root):
        return _list_remote(root)
    return _Walk(root, follow_symlinks).run()


def listing_digest(found: list[FoundFile]) -> str:
    """Hex digest of names, sizes and times: it changes whenever a file does."""
    return digest_of([[f.name, f.size, f.mtime_ns] for f in found])


def _list_remote(root: Path) -> list[FoundFile]:
    store, base = _opened(root)
    found = []
    for path, facts in store.find(base, detail=True).items():
        name = path.removeprefix(base).lstrip("/")
        if not any(part.startswith(".") or part.lower() in _HIDDEN for part in name.split("/")):
            found.append(_remote_file(root, name, facts))
    return sorted(_with_safe_names(found), key=lambda f: f.name)


def _opened(root: Path) -> tuple[Any, str]:
    """The fsspec file system of a `UPath` and its path there."""
    place = cast(Any, root)
    return place.fs, place.path.rstrip("/")


def _remote_file(root: Path, name: str, facts: dict[str, Any]) -> FoundFile:
    changed = facts.get("LastModified") or facts.get("mtime") or facts.get("created") or 0
    seconds = changed.timestamp() if isinstance(changed, datetime) else float(changed)
    return FoundFile(name, f"{str(root).rstrip('/')}/{name}", int(facts["size"] or 0), int(seconds * 1e9))


class _Walk:
    def __init__(self, root: Path, follow_symlinks: bool) -> None:
        self.root = os.fspath(root)
        self.real_root = os.path.realpath(self.root)
        self.follow = follow_symlinks
        self.found: list[FoundFile] = []
        self.seen: set[tuple[int, int]] = set()
        self.folders: deque[tuple[str, str]] = deque([(self.root, "")])
        self.links: list[tuple[str, str]] = []

    def run(self) -> list[FoundFile]:
        while self.folders or self.links:
            if not self.folders:  # real folders first, so that no folder is listed by a link's name
                self.links.sort()
                self.folders.append(self.links.pop(0))
            self._enter(*self.folders.popleft())
        return sorted(_with_safe_names(self.found), key=lambda f: f.name)

    def _enter(self, path: str, prefix: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of a million files costs more than the listing
            identity = (status.st_dev, status.st_ino)
            if identity in self.seen:
                log.info("%s: leads to a folder that is already listed", path)
                return
            self.seen.add(identity)
            with os.scandir(path) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.name.lower() not in _HIDDEN:
                        self._look_at(entry, prefix + entry.name)
        except OSError:
            self.found.append(FoundFile(prefix.rstrip("/"), path, 0, 0, "unreadable", is_folder=True))

    def _look_at(self, entry: os.DirEntry[str], name: str) -> None:
        try:
            is_link = entry.is_symlink()
            status = entry.stat()
        except OSError as error:
            fault = "missing" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "unreadable"
            self.found.append(FoundFile(name, entry.path, 0, 0, fault))
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        fault = ""
        if is_link and not self.follow and not is_inside(self.real_root, os.path.realpath(entry.path)):
            fault = "outside_root"
        elif is_folder:
            (self.links if is_link else self.folders).append((entry.path, name + "/"))
            return
        elif not stat.S_ISREG(status.st_mode):
            fault = "unreadable"
        self.found.append(FoundFile(name, entry.path, status.st_size, status.st_mtime_ns, fault, is_folder))


def _with_safe_names(found: list[FoundFile]) -> list[FoundFile]:
    bad = [i for i, file in enumerate(found) if not _is_printable(file.name)]
    if not bad:
        return found
    taken = {file.name for file in found}
    for i in sorted(bad, key=lambda i: found[i].name):
        name = escape_name(found[i].name)
        while name in taken:  # another file really has the escaped name
            name = name.replace("\\", "\\\\")
        taken.add(name)
        found[i] = replace(found[i], name=name, fault=found[i].fault or "bad_name")
    return found


def _is_printable(name: str) -> bool:
    return (name.isascii() and name.isprintable()) or all(unicodedata.category(c) not in _BAD_CATEGORIES for c in name)


def escape_name(name: str) -> str:
    r"""`name` with backslashes, control characters and undecodable bytes escaped: `\\`, `\x1b`, `\xff`, `\u2028`."""
    out = []
    for char in name:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:  # how Python represents a byte that is not UTF-8
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char == "\\":
            out.append("\\\\")
        elif unicodedata.category(char) in _BAD_CATEGORIES:
            out.append(f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}")
        else:
            out.append(char)
    return "".join(out)


def find_file(root: Path, name: str, follow_symlinks: bool) -> FoundFile:
    """One file by its name below `root`, with the faults of `list_files`; `missing` if there is none."""
    if is_remote(root):
        store, base = _opened(root)
        try:
            return _with_safe_names([_remote_file(root, name, store.info(f"{base}/{name}"))])[0]
        except FileNotFoundError:
            return FoundFile(name, f"{root}/{name}", 0, 0, "missing")
    path = os.path.join(root, name)  # noqa: PTH118
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        absent = not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENOTDIR)
        return FoundFile(name, path, 0, 0, "missing" if absent else "unreadable")
    fault = ""
    if not follow_symlinks and not is_inside(os.path.realpath(root), os.path.realpath(path)):
        fault = "outside_root"
    elif not stat.S_ISREG(status.st_mode):
        fault = "unreadable"
    elif not _is_printable(name):
        fault = "bad_name"
    return FoundFile(name, path, status.st_size, status.st_mtime_ns, fault)


def is_inside(real_root: str, real_path: str) -> bool:
    """Whether a resolved path is `real_root` or lies below it."""
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")
