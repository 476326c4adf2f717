"""Pictures of more than 8 bits a sample: what of them is shown, and which are equal."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

SCALES = (1, 255, 1023, 4095, 65535)
"""Usual greatest values: shares, 8, 10, 12 and 16 bits."""
_OVERSHOOT = 0.25
"""Floats may leave 0..scale by this share of it: resampling (Lanczos, in two directions) overshoots so far."""
_NO_USUAL_SCALE = 16.0
"""The geometric middle of 1 and 255: floats up to here (metres, radiance) are no dark 8-bit values."""
_STRIP_PIXELS = 1 << 18
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_COLOURS = ("RGB", "RGBA", "RGBX")


@dataclass(frozen=True)
class Narrowed:
    """A wide picture as one of 8 bits."""

    image: Image.Image
    """Mode L, RGB or RGBA."""
    digest: str
    """Hex SHA-256 of its size and full values; '' if 8 bits hold them all."""
    note: str
    """What black and white stand for."""


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """An image in pieces of full width, with the row at which each begins: a copy of one is a copy of little."""
    rows = max(1, _STRIP_PIXELS // max(1, image.width))
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def is_wide(image: Any) -> bool:
    """Whether a picture is grey of more than 8 bits a sample."""
    return str(image.mode).startswith("I") or image.mode == "F"


def low_byte_rawmode(image: Any) -> str:
    """How to decode the low bytes of an opened picture of 16-bit colours, of which Pillow keeps the high ones.

    '' if it is no such picture. Pillow names the order of the bytes in a sample by the last letter.
    """
    mode, _, order = rawmode_of(image).partition(";16")
    return f"{mode};16{_OTHER_BYTE[order]}" if mode in _COLOURS and order in _OTHER_BYTE else ""


def rawmode_of(image: Any) -> str:
    """How the samples of an opened picture are stored, in Pillow's words; '' if its decoder does not tell."""
    arguments = image.tile[0][3] if getattr(image, "tile", None) else ""
    rawmode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return rawmode if isinstance(rawmode, str) else ""


def narrow_greys(image: Image.Image) -> Narrowed:
    """A picture of mode I;16, I or F as mode L.

    What is black and white depends on the values alone: see `shown_range`. NaN and infinities count as 0.
    """
    is_float = image.mode == "F"
    kind = "float" if is_float else "16-bit" if image.mode.startswith("I;16") else "32-bit"
    low, high = _extremes(_values(strip) for _, strip in strips(image))
    black, white = shown_range(low, high, is_float)
    shown, is_exact = Image.new("L", image.size), True
    digest = _new_digest("float" if is_float else "grey", image.size)
    for top, strip in strips(image):
        values = _values(strip)
        eight = _to_bytes(values, black, white)
        digest.update(np.asarray(strip).astype("<f4" if is_float else "<i4").tobytes())
        is_exact = is_exact and _holds(eight, values, black, white)
        shown.paste(Image.fromarray(eight), (0, top))
    return Narrowed(shown, "" if is_exact else digest.hexdigest(), _note(kind, black, white))


def narrow_colours(high_bytes: Image.Image, low_bytes: Image.Image) -> Narrowed:
    """A picture of 16-bit colours, given as two of mode RGB or RGBA, as one of 8 bits; alpha has all 16 bits."""
    _, high = _extremes(values[..., :3] for _, values in _joined(high_bytes, low_bytes))
    black, white = shown_range(0, high, False)
    shown, is_exact = Image.new(high_bytes.mode, high_bytes.size), True
    digest = _new_digest(high_bytes.mode, high_bytes.size)
    for top, values in _joined(high_bytes, low_bytes):
        eight = _to_bytes(values, black, white)
        is_exact = is_exact and _holds(eight[..., :3], values[..., :3], black, white)
        if values.shape[-1] == 4:
            eight[..., 3] = _to_bytes(values[..., 3], 0, SCALES[-1])
            is_exact = is_exact and _holds(eight[..., 3], values[..., 3], 0, SCALES[-1])
        digest.update(values.astype("<u2").tobytes())
        shown.paste(Image.fromarray(eight), (0, top))
    return Narrowed(shown, "" if is_exact else digest.hexdigest(), _note("16-bit", black, white))


def shown_range(low: float, high: float, is_float: bool) -> tuple[float, float]:
    """The values that are shown as black and as white, of a picture whose values reach from `low` to `high`.

    Black is 0, and white the smallest of `SCALES` that holds the values, so that a black picture stays black and two
    pictures of one source are shown alike; values above them all are shown up to the greatest. A float may overshoot
    its scale, and floats between 1 and 255 that are far from both are shown up to the greatest too. Only values clearly
    below 0 are shown from the least.
    """
    slack = _OVERSHOOT if is_float else 0.0
    white = next((float(scale) for scale in SCALES if high <= scale * (1 + slack)), high)
    if is_float and white == SCALES[1] and high <= _NO_USUAL_SCALE:
        white = high
    return (low, max(high, low + 1e-12)) if low < -slack * white else (0.0, white)


def _values(strip: Image.Image) -> np.ndarray:
    values = np.asarray(strip)
    return np.where(np.isfinite(values), values, np.float32(0)) if values.dtype.kind == "f" else values


def _joined(high_bytes: Image.Image, low_bytes: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """The 16-bit values (h, W, C) of each strip, with its first row."""
    for (top, high), (_, low) in zip(strips(high_bytes), strips(low_bytes), strict=True):
        yield top, np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)


def _extremes(pieces: Iterable[np.ndarray]) -> tuple[float, float]:
    found = [(float(piece.min()), float(piece.max())) for piece in pieces]
    return min(low for low, _ in found), max(high for _, high in found)


def _to_bytes(values: np.ndarray, black: float, white: float) -> np.ndarray:
    return np.clip(np.rint((values.astype(np.float64) - black) * (255 / (white - black))), 0, 255).astype(np.uint8)


def _holds(eight: np.ndarray, values: np.ndarray, black: float, white: float) -> bool:
    """Whether the 8-bit values stand for the full ones exactly: then the picture equals one stored in 8 bits."""
    back = black + eight.astype(np.float64) * (white - black) / 255
    return bool(np.array_equal(back.astype(values.dtype) if values.dtype.kind == "f" else back, values))


def _new_digest(kind: str, size: tuple[int, int]) -> Any:
    return hashlib.sha256(f"wide {kind}{size}".encode())


def _note(kind: str, black: float, white: float) -> str:
    return f"{kind} values: {black:g} to {white:g} shown as black to white"
