"""Inspects an image file, with one read and one decode: is it sound, and what does it look like?"""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cleaner.dataset.damage import is_cut_short, why_unknown
from cleaner.dataset.decoding_memory import most_bytes, require_room, require_room_to_open
from cleaner.dataset.image_headers import stated_size
from cleaner.dataset.image_measures import THUMB_PX, measure_quality
from cleaner.dataset.locations import is_remote, open_regular, read_bytes
from cleaner.dataset.near_features import find_keypoints, perceptual_hashes
from cleaner.dataset.pixels import (
    EXTRA_FORMATS,
    NotAdmittedError,
    Picture,
    can_decode,
    on_white,
    other_format,
    read_picture,
    sniff_format,
    upright_size,
)
from cleaner.dataset.store import require_digest
from cleaner.dataset.wide_pixels import strips
from cleaner.errors import BadInputError

PIXELS_VERSION = 2
"""Raise it whenever `load_rgb` or `load_upright` give other pixels, so that nothing made of older ones is reused."""
UNIFORM_STD = 0.015
"""Below this `pixel_std` (about four grey levels of 255) a picture is nearly uniform: its hash is just noise."""
LFS_NOTE = "a Git LFS pointer: `git lfs pull` fetches the image"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MOST_SIDE = (1 << 31) - 1  # what the manifest's columns hold
_LARGE_PIXELS = 16_000_000
_THUMB_PX = 64


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What scan knows about one file. Values that the file does not provide are '', 0, -1, NaN or empty bytes."""

    image_id: str = ""
    """Hex SHA-256 of the file's bytes; '' where they could not be read."""
    file_bytes: int = 0
    format: str = ""
    """One of FORMATS, or the name of a format that is not decoded."""
    mode: str = ""
    """Pillow's mode of the file, such as RGB, P, CMYK."""
    width: int = 0
    """Pixels, upright."""
    height: int = 0
    fault: str = ""
    """One of manifest_schema.FAULTS."""
    notes: str = ""
    """What a person may want to know of the file, in words; several are separated by `; `."""
    pixel_id: str = ""
    """Hex SHA-256 of size and upright pixels, all bits of them: equal for equal pictures, whatever the format."""
    near_hash: bytes = b""
    """Perceptual hashes of seven orientations, 16 bytes each (see `perceptual_hashes`)."""
    keypoints: bytes = b""
    """Keypoints that find crops (see `find_keypoints`)."""
    num_colors: int = -1
    """Distinct colours among at most 64 x 64 sampled pixels, 1..4096."""
    pixel_std: float = float("nan")
    """Standard deviation of the sampled grey levels, 0..0.5 where black is 0 and white 1."""
    sharpness: float = float("nan")
    """Strength of edges on a 64 px thumbnail, over contrast (see `compute_sharpness`); higher is sharper."""
    flat_share: float = float("nan")
    """Share of equal neighbours on that thumbnail, 0..1."""
    brightness_low: float = float("nan")
    """5th percentile of the perceived brightness of the sampled pixels, 0..1."""
    brightness_high: float = float("nan")
    """99th percentile of the same."""
    information: float = float("nan")
    """Entropy of the sampled grey levels in bits, 0..8."""


def inspect_image(path: str | Path, max_pixels: int) -> ImageFacts:
    """Everything scan needs from one file. It never raises for a bad file, and opens regular files only.

    An image whose header promises more than `max_pixels`, or that would take more memory to decode than `max_pixels`
    plain colour pixels do (see `most_bytes`), is not decoded (`too_large`).
    """
    data = _read(str(path), most_bytes(max_pixels))
    if isinstance(data, ImageFacts):
        return data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _inspect_bytes(data, str(path), max_pixels)


def identify(path: str | Path, max_pixels: int) -> ImageFacts:
    """What an image file's bytes say without a decoder: image_id, size and format; or why they cannot be read."""
    data = _read(str(path), most_bytes(max_pixels))
    return data if isinstance(data, ImageFacts) else ImageFacts(**_identity(data), format=sniff_format(data[:4096]))


def _read(name: str, most: int) -> bytes | ImageFacts:
    """A file's bytes, or its facts if they cannot be had, or are more than `most`."""
    try:
        return read_bytes(name) if is_remote(name) else _read_regular(name, most)
    except (FileNotFoundError, NotADirectoryError):
        return ImageFacts(fault="missing")
    except OSError:
        return ImageFacts(fault="unreadable")


def _identity(data: bytes) -> dict[str, Any]:
    return {"image_id": hashlib.sha256(data).hexdigest(), "file_bytes": len(data)}


def _read_regular(name: str, most: int) -> bytes | ImageFacts:
    """A file's bytes, or its facts if it has more than `most`."""
    with open_regular(name) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return _inspect_huge(file, size) if size > most else file.read()


def _inspect_huge(file: Any, size: int) -> ImageFacts:
    kind = sniff_format(file.read(4096))
    file.seek(0)
    fault = "not_an_image" if not kind else "too_large" if can_decode(kind) else "unsupported_format"
    return ImageFacts(
        image_id=hashlib.file_digest(file, "sha256").hexdigest(), file_bytes=size, format=kind, fault=fault
    )


def _inspect_bytes(data: bytes, name: str, max_pixels: int) -> ImageFacts:
    known = _identity(data)
    if not data:
        return ImageFacts(**known, fault="empty")
    kind = sniff_format(data[:4096])
    if not can_decode(kind):
        kind = kind or other_format(data, name)
        note = 'pip install "cleaner-images[formats]" reads it' if kind in EXTRA_FORMATS else ""
        note = LFS_NOTE if data.startswith(_LFS_POINTER) else note
        return ImageFacts(**known, format=kind, fault="unsupported_format" if kind else "not_an_image", notes=note)
    known["format"] = kind
    opened: list[Any] = []

    def note_size(width: int, height: int) -> None:
        if max(width, height) <= _MOST_SIDE:  # what the manifest cannot hold stands in a note alone
            known.update(width=width, height=height)

    def prepare(image: Any) -> None:
        opened.append(image)
        known["mode"] = image.mode
        note_size(*upright_size(image))
        require_room(image, kind, len(data), max_pixels)

    try:
        if size := stated_size(data, kind):
            note_size(*size)
            require_room_to_open(size, kind, len(data), max_pixels)
        picture = read_picture(data, kind, prepare, asks_if_cut=True)
        opened.clear()  # the header of some formats holds the pixels, too
        known["width"], known["height"] = picture.image.size
        known["notes"] = "; ".join(picture.notes)
        return ImageFacts(**known, fault="truncated") if picture.is_cut else ImageFacts(**known, **_look(picture))
    except NotAdmittedError as error:
        return ImageFacts(**known, fault="too_large", notes=str(error))
    except Exception as error:  # a damaged file can make Pillow raise nearly anything
        if not opened and kind == "BMP" and not _is_bmp(data):
            return ImageFacts(**known | {"format": ""}, fault="not_an_image")
        if (not opened or kind == "JPEG") and (note := why_unknown(data, kind)):
            return ImageFacts(**known, fault="unsupported_format", notes=f"{note}: no decoder for it")
        cut = "truncated" in str(error).lower() if kind == "GIF" else False
        cut = cut or is_cut_short(data, kind, opened[0] if opened else None)
        return ImageFacts(**known, fault="truncated" if cut else "decode_error")


def _is_bmp(data: bytes) -> bool:
    """Whether bytes that begin with `BM`, as a text may, continue like a bitmap."""
    return len(data) < 18 or int.from_bytes(data[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124)


def _look(picture: Picture) -> dict[str, Any]:
    """Digest, hash and measures of a picture."""
    pixels = picture.image
    shown = on_white(pixels) if pixels.mode == "RGBA" else pixels
    sample = shown.resize((min(_THUMB_PX, shown.width), min(_THUMB_PX, shown.height)), Image.Resampling.NEAREST)
    sample = sample.convert("RGB")
    channels = np.asarray(sample, dtype=np.uint32)  # (h, w, 3)
    half = max(1, max(shown.size) // (2 * THUMB_PX))
    grey = (shown.reduce(half) if half > 1 else shown).convert("L")
    colors = np.sort((channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2], axis=None)
    return {
        "pixel_id": picture.digest or _digest(pixels),
        "near_hash": perceptual_hashes(shown).tobytes(),
        "keypoints": find_keypoints(grey).tobytes(),
        "num_colors": 1 + int(np.count_nonzero(colors[1:] != colors[:-1])),  # np.unique takes five times as long
        "pixel_std": float(np.asarray(sample.convert("L"), dtype=np.float32).std() / np.float32(255)),
        **measure_quality(grey, np.asarray(sample)),
    }


def _digest(pixels: Image.Image) -> str:
    """Hex SHA-256 of size and pixels of mode L, RGB or RGBA: a grey and a colour file of one grey picture are equal."""
    mode = "RGB" if pixels.mode == "L" else pixels.mode
    digest = hashlib.sha256(f"{mode}{pixels.size}".encode())
    for _, strip in strips(pixels):
        digest.update(strip.convert(mode).tobytes() if strip.mode != mode else strip.tobytes())
    return digest.hexdigest()


def load_rgb(path: str | Path, size_px: int, *, draft: bool = True, image_id: str = "") -> np.ndarray:
    """Pixels (size_px, size_px, 3) uint8 of an image, aspect not kept; raises as `read_image` and `decode_rgb` do."""
    return decode_rgb(read_image(path, image_id), path, size_px, draft=draft)


def read_image(path: str | Path, image_id: str = "") -> bytes:
    """The bytes of an image file.

    Raises BadInputError naming the file if it cannot be read, or if `image_id` (hex SHA-256) is given and they differ.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise _changed(path, str(error)) from error
    if image_id:
        require_digest(path, hashlib.sha256(data).hexdigest(), image_id)
    return data


def decode_rgb(data: bytes, path: str | Path, size_px: int, *, draft: bool = True) -> np.ndarray:
    """Pixels (size_px, size_px, 3) uint8 of an encoded image, aspect not kept; see `decode_upright`."""
    image = _open_upright(data, path, size_px if draft else 0)
    return np.array(on_white(image.resize((size_px, size_px), Image.Resampling.BICUBIC, reducing_gap=2.0)))


def decode_upright(data: bytes, path: str | Path, least_px: int) -> np.ndarray:
    """Pixels (H, W, 3) uint8, RGB, upright, first frame, transparency on white, of an encoded image.

    A JPEG is decoded at a fraction of its size if both sides are then still at least `least_px`; another picture of
    more than 16 megapixels is reduced if both are then still twice that. Raises BadInputError, which names the file
    `path`, if they cannot be decoded.
    """
    return np.array(on_white(_open_upright(data, path, least_px)))


def _open_upright(data: bytes, path: str | Path, least_px: int) -> Image.Image:
    """Pixels as mode L, RGB or RGBA; `least_px` 0: at full size."""
    kind = sniff_format(data[:4096])
    if not can_decode(kind):
        raise _changed(path, kind or "no image")

    def prepare(opened: Any) -> None:
        if least_px and kind == "JPEG":
            opened.draft(None, (least_px, least_px))

    try:
        image = read_picture(data, kind, prepare).image
    except Exception as error:  # a damaged file can make Pillow raise nearly anything
        raise _changed(path, f"{type(error).__name__}: {error}") from error
    factor = min(image.size) // (2 * least_px) if least_px and image.width * image.height > _LARGE_PIXELS else 1
    return (on_white(image) if image.mode == "RGBA" else image).reduce(factor) if factor > 1 else image


def _changed(path: str | Path, found: str) -> BadInputError:
    return BadInputError(
        f"{path}: can no longer be read as an image",
        expected="the file as it was when it was scanned",
        found=found,
        next_step="run `cleaner scan --force IMAGES`, then the stages after it",
    )
