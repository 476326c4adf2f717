"""Decodes images of any mode to upright pixels in the right colours."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from PIL import Image, ImageCms, features

from cleaner.dataset.damage import lost_its_end, without_wrapping
from cleaner.dataset.image_headers import ORIENTATION_TAG, TRANSPOSED, stated_bits
from cleaner.dataset.wide_pixels import is_wide, low_byte_rawmode, narrow_colours, narrow_greys, rawmode_of, strips

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is always decoded; a multi-picture JPEG (MPO) counts as JPEG."""
EXTRA_FORMATS = {"AVIF": "pillow_avif", "HEIF": "pillow_heif", "JXL": "pillow_jxl"}
"""What is decoded where Pillow has learned it (AVIF from 11.3 on) or a plugin, by the module's name, is installed."""
_LOOSE_FORMATS = {"TGA": (".tga", ".icb", ".vda", ".vst"), "SPIDER": (".spi", ".spider")}
"""Formats without magic bytes, with the suffixes by which they are recognised."""
_RASTER_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)
_OTHER_MAGIC = (
    (b"%PDF-", "PDF"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
    (b"\xff\x0a", "JXL"),
    (b"8BPS", "PSD"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%!PS", "EPS"),
)
_ISO_MEDIA = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "CR3"}
_ISO_MEDIA |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF")
_ISO_MEDIA |= dict.fromkeys((b"mif1", b"msf1"), "HEIF")  # any coding: other brands say more
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a stored picture upright, by EXIF orientation."""

# Pillow warns about odd metadata that does not affect pixels; filters are global, so it is set once for all threads
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def sniff_format(head: bytes) -> str:
    """The format that a file's first bytes (4096 will do) indicate: one of `FORMATS`, another one's name, or ''."""
    for magic, name in (*_RASTER_MAGIC, *_OTHER_MAGIC):
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), 64), 4))}
        return next((name for brand, name in _ISO_MEDIA.items() if brand in brands), "")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return "SVG"
    return ""


@cache
def can_decode(kind: str) -> bool:
    """Whether files of a format are decoded: one of FORMATS, or of EXTRA_FORMATS with a decoder installed."""
    if kind in FORMATS:
        return True
    if kind not in EXTRA_FORMATS:
        return False
    Image.init()
    if kind != "AVIF" or not features.check("avif"):
        try:
            plugin = importlib.import_module(EXTRA_FORMATS[kind])
        except ImportError:
            return False
        if kind == "HEIF":
            plugin.register_heif_opener(thumbnails=False)
    return kind in Image.OPEN


def other_format(data: bytes, path: str) -> str:
    """The name of a format that Pillow knows although it is not in `FORMATS`, or ''."""
    Image.init()
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - the name may hold undecodable bytes
    for name in Image.ID:
        if name in FORMATS or name == "MPO" or (name in _LOOSE_FORMATS and suffix not in _LOOSE_FORMATS[name]):
            continue
        factory, accept = Image.OPEN[name]
        try:
            verdict = accept(data[:16]) if accept else True
            if verdict and not isinstance(verdict, str):
                factory(io.BytesIO(data), "").close()
                return name
        except Exception:  # any error means that it is not this format
            continue
    return ""


@dataclass(frozen=True)
class Picture:
    """A decoded image file."""

    image: Image.Image
    """The first frame, upright, in mode L, RGB, or RGBA if any of it is transparent."""
    digest: str = ""
    """Hex SHA-256 of what tells exact copies apart where `image` does not hold all of it; '' where it does."""
    notes: tuple[str, ...] = ()
    """What a person may want to know of a sound picture in an odd file."""
    is_cut: bool = False
    """Whether its lower part is missing, although the decoder did not mind."""


def read_picture(
    data: bytes, kind: str, prepare: Callable[[Any], None] = lambda opened: None, *, asks_if_cut: bool = False
) -> Picture:
    """The picture in a file of format `kind`; if that fails, what its wrapping cannot spoil (see `without_wrapping`).

    `prepare(opened)` is called with the opened image before it is decoded: it may set a size to decode to, or raise
    NotAdmittedError. `asks_if_cut`: find out whether the lower part of a JPEG is missing. Raises whatever `prepare` and
    Pillow raise.
    """
    try:
        return _decode(data, kind, prepare, lost_its_end if asks_if_cut else None)
    except NotAdmittedError:
        raise
    except Exception:
        bare = without_wrapping(data, kind)
        if bare is None:
            raise
        picture = _decode(bare.data, kind, prepare, partial(lost_its_end, is_suspect=True) if asks_if_cut else None)
        return dataclasses.replace(picture, notes=(bare.note, *picture.notes))


class NotAdmittedError(Exception):
    """What `prepare` of `read_picture` raises for a picture that shall not be decoded; the message says why."""


def open_image(data: bytes, name: str) -> Any:
    """The header of an encoded image of format `name`: a Pillow image whose pixels are not decoded yet.

    Raises whatever Pillow's decoder raises. The decoder is called directly: `Image.open` would warn about or refuse
    large images by a global limit, and scan has its own.
    """
    if name not in Image.OPEN:
        Image.preinit()
    if name not in Image.OPEN:
        Image.init()
    factory, _ = Image.OPEN[name]
    return factory(io.BytesIO(data), "")


def upright_size(image: Any) -> tuple[int, int]:
    """Width and height after EXIF orientation, before decoding."""
    tags = getattr(image, "tag_v2", {})  # a TIFF's tags are as stored; whether its `size` is depends on Pillow
    width, height = (tags[256], tags[257]) if 256 in tags and 257 in tags else image.size
    return (height, width) if stored_orientation(image) in TRANSPOSED else (width, height)


def stored_orientation(image: Any) -> int:
    """The EXIF orientation of an opened image, 1..8, before it is decoded."""
    if "exif" not in image.info and not getattr(image, "tag_v2", {}):
        return 1  # reading EXIF would make Pillow decode a whole PNG, as metadata may follow the pixels
    return _orientation(image)


def _orientation(image: Any) -> int:
    try:
        orientation = int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata says nothing about the pixels
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _decode(
    data: bytes, kind: str, prepare: Callable[[Any], None], ask_if_cut: Callable[[bytes, Any], bool] | None
) -> Picture:
    image = open_image(data, kind)
    rawmode, low_bytes = rawmode_of(image), low_byte_rawmode(image)
    prepare(image)
    image.load()
    is_cut = kind == "JPEG" and ask_if_cut is not None and ask_if_cut(data, image)
    image = _turned(image)
    if is_wide(image):
        narrowed = narrow_greys(image)
    elif low_bytes:
        again = open_image(data, kind)
        again.tile = [tile._replace(args=_with_rawmode(tile.args, low_bytes)) for tile in again.tile]
        again.load()
        narrowed = narrow_colours(image, _turned(again))
    else:
        is_reduced = ";16" in rawmode or stated_bits(data, kind) > 8
        notes = ("decoded to 8 bits a sample: exact copies are told by their bytes",) if is_reduced else ()
        digest = hashlib.sha256(data).hexdigest() if is_reduced else ""
        return Picture(_in_plain_mode(image), digest, notes, is_cut)
    return Picture(_in_plain_mode(narrowed.image), narrowed.digest, (narrowed.note,), is_cut)


def _with_rawmode(arguments: Any, rawmode: str) -> Any:
    return (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode


def _turned(image: Any) -> Any:
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _in_plain_mode(image: Any) -> Image.Image:
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image  # type: ignore[no-any-return]
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if not has_alpha and not (image.mode == "P" and image.palette.mode == "RGBA"):
        return image.convert("L" if image.mode == "1" else "RGB")  # type: ignore[no-any-return]
    coloured = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque = coloured.getchannel("A").getextrema() == (255, 255)
    return coloured.convert("RGB") if opaque else coloured  # type: ignore[no-any-return]


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransformFromOpenProfiles(lab, srgb, "LAB", "RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def on_white(image: Image.Image) -> Image.Image:
    """An image of mode L, RGB or RGBA as RGB, with transparent parts on white."""
    if image.mode == "RGBA":
        ground = Image.new("RGB", image.size, (255, 255, 255))
        for top, strip in strips(image):
            ground.paste(strip, (0, top), strip)
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")
