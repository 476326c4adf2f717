"""Lists the files below the images root, and finds those that cannot be used as they are."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cleaner.dataset.archives import is_archive_name, members_of
from cleaner.dataset.found_files import FoundFile, FoundFiles
from cleaner.dataset.locations import is_remote
from cleaner.dataset.names import image_path, is_printable, read_name, to_file_name

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic"})
"""Names that end so are those of images."""
_HIDDEN = frozenset({"thumbs.db"})
SIDE_FOLDERS = frozenset(
    # Synology, QNAP
    {"@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", ".@__thumb", "@__thumb"}
    # Windows, macOS, Linux
    | {"$recycle.bin", "system volume information", "__macosx", "lost+found"}
    # programs
    | {"__pycache__", "node_modules", "site-packages"}
)
"""Folders that file systems and programs put beside people's own, in lower case: no image of the set lies in them."""
LINK_STORES = (".dvc/cache", ".git/annex/objects")
_VIRTUAL_ENVIRONMENT = frozenset({"pyvenv.cfg", "conda-meta"})  # either marks the folder that holds it


def list_files(root: Path, follow_symlinks: bool, passed_over: Counter[str] | None = None) -> FoundFiles:
    """Every file below `root`, sorted by name, except hidden files, Thumbs.db, and what lies in folders passed over.

    Those are hidden folders, `SIDE_FOLDERS` and virtual environments; `passed_over`, if given, counts them by kind.
    Links to files count as files. Links to folders are followed last, and only to folders not seen before, so loops
    end and no file is listed twice through a link. Unless `follow_symlinks`, a link out of `root` has the fault
    `outside_root`, but for one into the store of DVC or git-annex. A dangling link is `missing`; a link that loops, a
    folder that cannot be listed, and anything that is no regular file (it is never opened) are `unreadable`. A name
    that cannot be printed is a `bad_name`. A `root` that is a URL has no links.

    Where no file is an image by its name, the images inside of tar, Parquet and Arrow files stand in place of these.
    """
    passed_over = Counter() if passed_over is None else passed_over
    if is_remote(root):
        return _list_remote(root, passed_over)
    found = _Walk(root, follow_symlinks, passed_over).run()
    return found if any(map(is_image_name, found.names())) else _open_archives(root, found)


def is_image_name(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - asked for each of millions


def _open_archives(root: Path, found: FoundFiles) -> FoundFiles:
    """The files, with the images inside of each in place of it."""
    opened = []
    for file in found:
        inside = members_of(file.path) if not file.fault and is_archive_name(file.name) else ()
        images = [
            FoundFile(f"{file.name}/{to_file_name(m.name)}", f"{file.path}/{m.name}", m.size, file.mtime_ns)
            for m in inside
        ]
        opened += images or [file]
    return _in_order(root, opened)


def _in_order(root: Path, files: Iterable[FoundFile]) -> FoundFiles:
    return FoundFiles(str(root), sorted(files, key=lambda f: f.name))


def _list_remote(root: Path, passed_over: Counter[str]) -> FoundFiles:
    store, base = _opened(root)
    found, aside = [], set()
    for path, facts in store.find(base, detail=True).items():
        parts = path.removeprefix(base).lstrip("/").split("/")
        at = next((i for i, part in enumerate(parts[:-1]) if why_passed_over(part)), None)
        if at is not None:
            aside.add(tuple(parts[: at + 1]))
        elif not _is_hidden(parts[-1]):
            found.append(_remote_file(root, "/".join(parts), facts))
    passed_over.update(why_passed_over(folder[-1]) for folder in aside)
    return _in_order(root, found)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN


def why_passed_over(folder: str) -> str:
    """The kind of a folder that holds no images of the set, by its name; '' for any other."""
    if folder.lower() in SIDE_FOLDERS:
        return folder
    return "hidden folders" if folder.startswith(".") else ""


def _opened(root: Path) -> tuple[Any, str]:
    """The fsspec file system of a `UPath` and its path there."""
    place = cast(Any, root)
    return place.fs, place.path.rstrip("/")


def _remote_file(root: Path, name: str, facts: dict[str, Any]) -> FoundFile:
    changed = facts.get("LastModified") or facts.get("mtime") or facts.get("created") or 0
    seconds = changed.timestamp() if isinstance(changed, datetime) else float(changed)
    path, size, mtime_ns = f"{str(root).rstrip('/')}/{name}", int(facts["size"] or 0), int(seconds * 1e9)
    return FoundFile(to_file_name(name), path, size, mtime_ns, "" if is_printable(name) else "bad_name")


class _Walk:
    def __init__(self, root: Path, follow_symlinks: bool, passed_over: Counter[str]) -> None:
        self.root = os.fspath(root)
        self.real_root = os.path.realpath(self.root)
        self.follow = follow_symlinks
        self.passed_over = passed_over
        self.found = FoundFiles(self.root)
        self.seen: set[tuple[int, int]] = set()
        self.links: list[tuple[str, str]] = []

    def run(self) -> FoundFiles:
        self._enter_all(self.root, "")
        while self.links:  # real folders first, so that no folder is listed by a link's name
            self.links.sort()
            self._enter_all(*self.links.pop(0))
        return self.found if self.found.is_ordered() else _in_order(Path(self.root), self.found)

    def _enter_all(self, path: str, prefix: str) -> None:
        """List a folder and those below it. What lies in a folder comes where its name does, with a slash behind it:
        so all names are in order, but for those that are reached through links.
        """
        open_folders = [self._enter(path, prefix)]
        while open_folders:
            if (inner := next(open_folders[-1], None)) is None:
                open_folders.pop()
            else:
                open_folders.append(self._enter(*inner))

    def _enter(self, path: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the folders in a folder, each with its prefix, when the files before it are listed."""
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of a million files costs more than the listing
            identity = (status.st_dev, status.st_ino)
            if identity in self.seen:
                log.info("%s: leads to a folder that is already listed", path)
                return
            self.seen.add(identity)
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError:
            self._add(prefix.rstrip("/"), path, fault="unreadable", is_folder=True)
            return
        if prefix and any(entry.name in _VIRTUAL_ENVIRONMENT for entry in entries):
            self.passed_over["virtual environments"] += 1
            return
        named = [(read_name(entry.name), entry) for entry in entries]
        named.sort(key=lambda one: to_file_name(one[0]) + "/" * one[1].is_dir(follow_symlinks=False))
        for name, entry in named:
            if self._look_at(entry, prefix + name):
                yield entry.path, prefix + name + "/"

    def _look_at(self, entry: os.DirEntry[str], name: str) -> bool:
        """Add what is no folder; returns whether it is one to enter. Links to folders are remembered."""
        why, is_folder = why_passed_over(entry.name), entry.is_dir(follow_symlinks=False)
        if why and is_folder:
            self.passed_over[why] += 1
        if _is_hidden(entry.name) or (why and is_folder):
            return False
        try:
            is_link = entry.is_symlink()
            status = entry.stat()
        except OSError as error:
            self._add(name, entry.path, fault=_fault_of(error))
            return False
        is_folder = stat.S_ISDIR(status.st_mode)
        fault = ""
        if is_link and not self.follow and leads_out(self.real_root, os.path.realpath(entry.path)):
            fault = "outside_root"
        elif is_folder:
            if is_link:
                self.links.append((entry.path, name + "/"))
            return not is_link
        elif not stat.S_ISREG(status.st_mode):
            fault = "unreadable"
        self._add(name, entry.path, status.st_size, status.st_mtime_ns, fault, is_folder)
        return False

    def _add(
        self, name: str, path: str, size: int = 0, mtime_ns: int = 0, fault: str = "", is_folder: bool = False
    ) -> None:
        fault = fault or ("" if is_printable(name) else "bad_name")
        self.found.append(FoundFile(to_file_name(name), path, size, mtime_ns, fault, is_folder))


def _fault_of(error: OSError | ValueError) -> str:
    """The fault of a file that cannot be looked at."""
    absent = isinstance(error, ValueError) or error.errno in (errno.ENOENT, errno.ENOTDIR)
    return "missing" if absent else "unreadable"


def find_file(root: Path, name: str, follow_symlinks: bool) -> FoundFile:
    """One file by its name below `root`, with the faults of `list_files`; `missing` if there is none."""
    place = image_path(root, name)
    if is_remote(root):
        store, base = _opened(root)
        inside = str(place).removeprefix(str(root).rstrip("/")).lstrip("/")
        try:
            return _remote_file(root, inside, store.info(f"{base}/{inside}"))
        except FileNotFoundError:
            return FoundFile(name, str(place), 0, 0, "missing")
    path = os.fspath(place)
    try:
        status = place.stat()
    except (OSError, ValueError) as error:
        return FoundFile(name, path, 0, 0, _fault_of(error))
    fault = ""
    if not follow_symlinks and leads_out(os.path.realpath(root), os.path.realpath(path)):
        fault = "outside_root"
    elif not stat.S_ISREG(status.st_mode):
        fault = "unreadable"
    elif not is_printable(name):
        fault = "bad_name"
    return FoundFile(name, path, status.st_size, status.st_mtime_ns, fault)


def is_inside(real_root: str, real_path: str) -> bool:
    """Whether a resolved path is `real_root` or lies below it."""
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")


def leads_out(real_root: str, real_path: str) -> bool:
    """Whether a resolved path lies outside of `real_root`.

    The stores into which DVC and git-annex link the files of a repository belong to it, where the root lies in that.
    """
    if is_inside(real_root, real_path):
        return False
    for store in LINK_STORES:
        repository, found, _ = real_path.partition(f"/{store}/")
        if found and is_inside(repository, real_root):
            return False
    return True
