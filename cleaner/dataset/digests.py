"""Digests of files, remembered by size and modification time, as git's index does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from cleaner.dataset.store import digest_of, sha256_file, write_json
from cleaner.errors import BadInputError
from cleaner.reading import read_document

_Stamp = list[int | Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]]
"""Sizes, times and digests."""


class DigestCache:
    """Remembered digests of files, valid as long as a file's stamp (size and time) stays the same.

    Hashing the manifest of a million images takes a second; reading its size takes no time.
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
        """Hex SHA-256 of `file`, always computed anew."""
        self._known().pop(self._name(file), None)
        return self.sha256(file)

    def remember(self, name: str, stamp: _Stamp, compute: Callable[[], str]) -> str:
        """The digest remembered as `name` if its `stamp` is the same, else that of `compute`, then remembered."""
        known = self._known().get(name)
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        digest = compute()
        self._known()[name] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write the remembered digests to disk if any are new."""
        if self._changed:
            write_json(self.path, self._known())
            self._changed = False

    def _known(self) -> dict[str, _Stamp]:
        if self._entries is None:
            try:
                self._entries = read_document(self.path, dict[str, _Stamp], "cache of digests", "delete it")
            except BadInputError:  # a damaged cache counts as absent
                self._entries = {}
        return self._entries

    def _name(self, file: Path) -> str:
        try:
            return file.relative_to(self.root).as_posix()
        except ValueError:
            return str(file.resolve())


def tree_stamp(path: Path) -> _Stamp:
    """The stamp of a file, or of a folder with all files below it; `path` must exist."""
    if not path.is_dir():
        return _file_stamp(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [digest_of([[str(file.relative_to(path)), *_file_stamp(file)] for file in files])]


def _file_stamp(file: Path) -> _Stamp:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]
