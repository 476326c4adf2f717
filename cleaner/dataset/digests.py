"""Digests of files that are not computed twice: remembered with size and mtime, as git's index does."""

from __future__ import annotations

import json
from pathlib import Path

from cleaner.dataset.store import sha256_file, write_json

_Entry = tuple[int, int, str]  # size in bytes, mtime in ns, SHA-256


class DigestCache:
    """SHA-256 of files below a root. A digest is taken from memory while size and mtime are those it was taken at.

    Hashing the manifests of a million images takes a second each; asking for their size takes none.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self._entries: dict[str, _Entry] | None = None
        self._changed = False

    def sha256(self, file: Path) -> str:
        """Hex SHA-256 of `file`, which must exist."""
        status = file.stat()
        known = self._known().get(self._name(file))
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known[2]
        return self.compute(file)

    def compute(self, file: Path) -> str:
        """Hex SHA-256 of the bytes of `file` as they are now, whatever is remembered."""
        status = file.stat()
        digest = sha256_file(file)
        self._known()[self._name(file)] = (status.st_size, status.st_mtime_ns, digest)
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what is remembered, if there is anything new."""
        if self._changed:
            write_json(self.path, self._known())
            self._changed = False

    def _known(self) -> dict[str, _Entry]:
        if self._entries is None:
            try:
                document = json.loads(self.path.read_text(encoding="utf-8"))
                self._entries = {str(k): (int(v[0]), int(v[1]), str(v[2])) for k, v in document.items()}
            except (OSError, ValueError, AttributeError, TypeError, IndexError):  # a cache: damaged counts as absent
                self._entries = {}
        return self._entries

    def _name(self, file: Path) -> str:
        try:
            return file.relative_to(self.root).as_posix()
        except ValueError:
            return str(file.resolve())
