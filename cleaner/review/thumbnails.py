"""Pictures for the page, shrunk, and kept in memory and on disk."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

from cleaner.dataset.locations import read_bytes
from cleaner.dataset.thumbnails import Form, PictureError, Shrinker

FORMS = {"thumb": Form(enough_px=256, most_px=512, quality=80), "zoom": Form(enough_px=1280, most_px=1280, quality=88)}
"""A thumbnail has 100 to 210 CSS pixels."""
_DECODERS = 2
"""Processes: each may take as much memory as a scan's."""
_MEMORY_BYTES = 24 << 20
_DISK_BYTES = 512 << 20


class Thumbnails:
    """JPEGs by image_id and size, kept in memory (least recently used out first) and, the small ones, on disk."""

    def __init__(self, folder: Path, max_pixels: int, file_timeout_s: float) -> None:
        self.folder = folder
        self._shrinker = Shrinker(_DECODERS, max_pixels=max_pixels, file_timeout_s=file_timeout_s)
        self._failed: dict[str, str] = {}
        """Why pictures cannot be made, by image_id."""
        self._memory: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._num_bytes = 0
        self._disk_bytes: int | None = None
        self._lock = threading.Lock()

    def get(self, image_id: str, size: str, path: Path) -> bytes:
        """The JPEG of the image whose bytes have the digest `image_id` and lie at `path`; raises PictureError."""
        key = (image_id, size)
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        file = self.folder / image_id[:2] / f"{image_id}-{FORMS[size].most_px}.jpg"
        data = _read(file) if size == "thumb" else None
        if data is None:
            data = self._make(image_id, size, path)
            if size == "thumb":
                self._store(file, data)
        with self._lock:
            if key not in self._memory:
                self._memory[key] = data
                self._num_bytes += len(data)
            while self._num_bytes > _MEMORY_BYTES:
                self._num_bytes -= len(self._memory.popitem(last=False)[1])
        return data

    def _make(self, image_id: str, size: str, path: Path) -> bytes:
        if image_id in self._failed:
            raise PictureError(self._failed[image_id])
        try:
            source = read_bytes(path)
        except OSError as error:
            raise PictureError("the file is gone") from error
        if hashlib.sha256(source).hexdigest() != image_id:
            raise PictureError("the file has changed since it was scanned")
        try:
            return self._shrinker.shrink(source, FORMS[size])
        except PictureError as error:
            self._failed[image_id] = str(error)  # a page that asks again does not wait again
            raise

    def _store(self, file: Path, data: bytes) -> None:
        """Write a thumbnail; a full disk only costs time, and the folder stays below its limit."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
            temporary.write_bytes(data)
            temporary.replace(file)
        except OSError:
            return
        with self._lock:
            if self._disk_bytes is None:
                self._disk_bytes = sum(s.st_size for _, s in _stored(self.folder))
            else:
                self._disk_bytes += len(data)
            if self._disk_bytes > _DISK_BYTES:
                self._disk_bytes = _prune(self.folder, _DISK_BYTES // 2)


def _read(file: Path) -> bytes | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    return data if data[:3] == b"\xff\xd8\xff" and data[-2:] == b"\xff\xd9" else None


def _stored(folder: Path) -> list[tuple[Path, os.stat_result]]:
    return [(p, p.stat()) for p in folder.glob("*/*.jpg") if p.is_file()]


def _prune(folder: Path, goal_bytes: int) -> int:
    """Delete the oldest thumbnails until `goal_bytes` are left; returns what is left."""
    files = sorted(_stored(folder), key=lambda f: f[1].st_mtime)
    left = sum(s.st_size for _, s in files)
    for path, status in files:
        if left <= goal_bytes:
            break
        path.unlink(missing_ok=True)
        left -= status.st_size
    return left
