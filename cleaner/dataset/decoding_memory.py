"""How much memory a picture takes while it is decoded, known from its header."""

from __future__ import annotations

from typing import Any

from cleaner.dataset.pixels import NotAdmittedError, stored_orientation, upright_size
from cleaner.dataset.wide_pixels import is_wide, low_byte_rawmode

_BYTES_OF_A_PIXEL = 4.5
"""Of plain colour: Pillow stores four bytes; the rest is for the file itself and for what is looked at in pieces."""
_HALF_SIZE = 2.5  # the second decoding, at half the size, that finds out whether it was cut
_NEVER_MATTERS = 64_000_000
_ONE_BYTE, _TWO_BYTES = ("1", "L", "P"), ("I;16", "I;16B", "I;16L", "I;16N")
_DECODERS = {"WEBP": (13.0, 8.0), "AVIF": (12.0, 6.0), "HEIF": (12.0, 6.0), "JXL": (12.0, 4.0)}
"""Bytes a pixel besides the picture itself: while it is decoded, and of those what its decoder keeps until the end."""


def most_bytes(max_pixels: int) -> int:
    """The memory that decoding one file may take where `max_pixels` plain colour pixels are allowed."""
    return max(_NEVER_MATTERS, int(max_pixels * _BYTES_OF_A_PIXEL))


def require_room_to_open(size: tuple[int, int], kind: str, file_bytes: int, max_pixels: int) -> None:
    """As `require_room`, for a format of `image_headers.stated_size`, whose decoder makes room when it is opened."""
    loading, _ = _DECODERS[kind]
    _require(size, int(size[0] * size[1] * (4.0 + loading)) + file_bytes, max_pixels)


def require_room(image: Any, kind: str, file_bytes: int, max_pixels: int) -> None:
    """Raise NotAdmittedError for an opened image of more than `max_pixels`, or whose decoding takes more memory."""
    _require(upright_size(image), decoding_bytes(image, kind) + file_bytes, max_pixels)


def _require(size: tuple[int, int], needed: int, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise NotAdmittedError(f"{width} x {height} pixels")
    if needed > most_bytes(max_pixels):
        raise NotAdmittedError(f"{width} x {height} pixels take {needed / 1e6:,.0f} MB to decode")


def decoding_bytes(image: Any, kind: str) -> int:
    """The most memory that decoding an opened image of format `kind` takes at once, without the file's own bytes."""
    width, height = image.size
    stored = _stored(image.mode)
    loading, kept = _DECODERS.get(kind, (_loading(image, kind), 0.0))
    turning = stored if stored_orientation(image) != 1 else 0.0
    return int(width * height * (stored + max(loading, kept + turning, kept + _converting(image))))


def _stored(mode: str) -> float:
    return 1.0 if mode in _ONE_BYTE else 2.0 if mode in _TWO_BYTES else 4.0


def _loading(image: Any, kind: str) -> float:
    """What a decoder holds besides the picture, bytes a pixel."""
    if kind == "JPEG" and image.info.get("progressive"):
        parts = [h * v for _, h, v, _ in image.layer]  # all coefficients, two bytes each, until the last scan
        return float(2 * sum(parts) / max(parts)) + _HALF_SIZE
    if kind == "TIFF":
        return float(_strip_share(image) * sum(image.tag_v2.get(258, (1,))) / 8)
    return 0.0


def _strip_share(image: Any) -> float:
    """The share of a TIFF's rows that its decoder unpacks at once; 0 where nothing is packed, or in tiles."""
    tags = image.tag_v2
    if tags.get(259, 1) == 1 or 322 in tags:
        return 0.0
    return min(1.0, float(tags.get(278, image.height)) / float(max(1, image.height)))


def _converting(image: Any) -> float:
    """What the picture in its plain mode takes beside the one as stored, bytes a pixel."""
    if low_byte_rawmode(image):
        return 8.0
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return 0.0
    if image.mode == "1" or is_wide(image):
        return 1.0
    has_alpha = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
    return 8.0 if has_alpha else 4.0
