"""Small JPEGs for pages, encoded anew by processes that may die: no byte of a source file gets there."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from cleaner.dataset.decoding_memory import require_room
from cleaner.dataset.pixels import NotAdmittedError, can_decode, on_white, read_picture, sniff_format
from cleaner.worker_pool import WorkerDiedError, WorkerPool


class PictureError(Exception):
    """The picture cannot be shown; the message says why."""


@dataclass(frozen=True)
class Form:
    """What a thumbnail is like."""

    enough_px: int
    """The longer side that is enough. Resizing takes three times as long as decoding, and a JPEG decoder can halve the
    size while it decodes: a result between the two is not resized."""
    most_px: int
    """The most that the longer side may have."""
    quality: int
    """Of the JPEG."""


class Shrinker:
    """Makes thumbnails in up to `num_workers` processes, started when they are needed."""

    def __init__(self, num_workers: int, *, max_pixels: int, file_timeout_s: float) -> None:
        """`max_pixels`, `file_timeout_s`: what a file may cost, as in a scan."""
        self._max_pixels = max_pixels
        self._pool = WorkerPool(num_workers, cpu_limit_s=file_timeout_s)

    def shrink(self, data: bytes, form: Form) -> bytes:
        """The thumbnail of an encoded image, a JPEG. Raises PictureError."""
        try:
            return self._pool.call(shrink, data, self._max_pixels, form)
        except WorkerDiedError as error:
            raise PictureError(f"its decoder {'takes too long' if error.is_timeout else 'crashes'}") from error

    def close(self) -> None:
        """End the processes."""
        self._pool.kill()


def shrink(data: bytes, max_pixels: int, form: Form) -> bytes:
    """What `Shrinker.shrink` does, in this process."""
    kind = sniff_format(data[:4096])
    if not can_decode(kind):
        raise PictureError("not an image")

    def prepare(opened: Any) -> None:
        require_room(opened, kind, len(data), max_pixels)
        if kind == "JPEG":
            opened.draft(None, _fit(opened.size, form.enough_px))

    try:
        return _encode(read_picture(data, kind, prepare).image, form)
    except NotAdmittedError as error:
        raise PictureError(f"too large to decode: {error}") from None
    except Exception:  # a damaged file can make Pillow raise nearly anything
        raise PictureError("cannot be decoded") from None


def _encode(pixels: Image.Image, form: Form) -> bytes:
    size = _fit(pixels.size, form.most_px)
    small = pixels.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0) if size != pixels.size else pixels
    out = io.BytesIO()
    clean = Image.new("RGB", size)  # a new image holds pixels alone: no comment, profile or EXIF comes along
    clean.paste(on_white(small))
    clean.save(out, "JPEG", quality=form.quality, optimize=True)
    return out.getvalue()


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """`size` shrunk, if it must be, until its longer side is `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
