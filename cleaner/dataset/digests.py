"""Digests of files, remembered by size and modification time, as git's index does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cleaner.dataset.store import digest_of, sha256_file, write_json

_Stamp = list[int | str]


class DigestCache:
    """Digests below a workspace's root. One is taken from memory while its stamp (sizes and times) stays the same.

    Hashing the manifests of a million images takes a second each; asking for their size takes none.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self._entries: dict[str, _Stamp] | None = None
        self._changed = False

    def sha256(self, file: Path) -> str:
        """Hex SHA-256 of `file`, which must exist."""
        return self.remember(self._name(file), _file_stamp(file), lambda: sha256_file(file))

    def compute(self, file: Path) -> str:
        """Hex SHA-256 of the bytes of `file` as they are now, whatever is remembered."""
        self._known().pop(self._name(file), None)
        return self.sha256(file)

    def remember(self, name: str, stamp: _Stamp, compute: Callable[[], str]) -> str:
        """The digest `name` if it was taken at the same `stamp`, else that of `compute`, which is remembered."""
        known = self._known().get(name)
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        digest = compute()
        self._known()[name] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what is remembered, if there is anything new."""
        if self._changed:
            write_json(self.path, self._known())
            self._changed = False

    def _known(self) -> dict[str, _Stamp]:
        if self._entries is None:
            try:
                document = json.loads(self.path.read_text(encoding="utf-8"))
                self._entries = {str(name): list(entry) for name, entry in document.items()}
            except (OSError, ValueError, AttributeError, TypeError):  # a damaged cache counts as absent
                self._entries = {}
        return self._entries

    def _name(self, file: Path) -> str:
        try:
            return file.relative_to(self.root).as_posix()
        except ValueError:
            return str(file.resolve())


def tree_stamp(path: Path) -> _Stamp:
    """A stamp of a file, or of a folder with all that lies below it; `path` must exist."""
    if not path.is_dir():
        return _file_stamp(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [digest_of([[str(file.relative_to(path)), *_file_stamp(file)] for file in files])]


def _file_stamp(file: Path) -> _Stamp:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]
