"""Pictures for the page: decoded, shrunk and re-encoded, so that no byte of a source file reaches a browser."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from cleaner.dataset.decoding_memory import require_room
from cleaner.dataset.locations import read_bytes
from cleaner.dataset.pixels import NotAdmittedError, can_decode, on_white, read_picture, sniff_format

SIZES_PX = {"thumb": (256, 512), "zoom": (1280, 1280)}
"""The longer side: what is enough, and the most. Resizing takes three times as long as decoding, and a JPEG decoder can
halve the size while it decodes: a result between the two is not resized. A thumbnail has 100 to 210 CSS pixels."""
_JPEG_QUALITY = {"thumb": 80, "zoom": 88}
_LARGE_PIXELS = 12_000_000  # such an image takes 36 MB and more to decode: one at a time
_MEMORY_BYTES = 24 << 20
_DISK_BYTES = 512 << 20


class PictureError(Exception):
    """The picture cannot be shown; the message says why."""


class Thumbnails:
    """JPEGs by image_id and size, kept in memory (least recently used out first) and, the small ones, on disk."""

    def __init__(self, folder: Path, max_pixels: int) -> None:
        self.folder = folder
        self.max_pixels = max_pixels
        self._memory: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._num_bytes = 0
        self._disk_bytes: int | None = None
        self._lock = threading.Lock()
        self._large = threading.RLock()  # a picture that is read twice takes it twice

    def get(self, image_id: str, size: str, path: Path) -> bytes:
        """The JPEG of the image whose bytes have the digest `image_id` and lie at `path`; raises PictureError."""
        key = (image_id, size)
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        file = self.folder / image_id[:2] / f"{image_id}-{SIZES_PX[size][1]}.jpg"
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
        try:
            source = read_bytes(path)
        except OSError as error:
            raise PictureError("the file is gone") from error
        if hashlib.sha256(source).hexdigest() != image_id:
            raise PictureError("the file has changed since it was scanned")
        kind = sniff_format(source[:4096])
        if not can_decode(kind):
            raise PictureError("not an image")
        enough, most = SIZES_PX[size]
        with ExitStack() as held:

            def prepare(opened: Any) -> None:
                require_room(opened, kind, len(source), self.max_pixels)
                if kind == "JPEG":
                    opened.draft(None, _fit(opened.size, enough))
                if opened.width * opened.height > _LARGE_PIXELS:
                    held.enter_context(self._large)

            try:
                return _encode(read_picture(source, kind, prepare).image, most, _JPEG_QUALITY[size])
            except NotAdmittedError as error:
                raise PictureError(f"too large to decode: {error}") from error
            except Exception as error:  # a damaged file can make Pillow raise nearly anything
                raise PictureError("cannot be decoded") from error

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


def _encode(pixels: Image.Image, side: int, quality: int) -> bytes:
    size = _fit(pixels.size, side)
    small = pixels.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0) if size != pixels.size else pixels
    out = io.BytesIO()
    clean = Image.new("RGB", size)  # a new image holds pixels alone: no comment, profile or EXIF comes along
    clean.paste(on_white(small))
    clean.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """`size` shrunk, if it must be, until its longer side is `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


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
