"""Decodes images of any mode to upright pixels in the right colours."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; a multi-picture JPEG (MPO) counts as JPEG."""
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
_ISO_MEDIA |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF")
_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION_TAG = 0x0112

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
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), 64), 4))]
        return next((_ISO_MEDIA[b] for b in brands if b in _ISO_MEDIA), "")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return "SVG"
    return ""


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
    if "exif" not in image.info and not tags:
        return width, height  # reading EXIF would make Pillow decode a whole PNG, as metadata may follow the pixels
    return (height, width) if _orientation(image) in _TRANSPOSED else (width, height)


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata says nothing about the pixels
        return 1


def decode(image: Any) -> Image.Image:
    """The first frame of an opened image, upright, in mode L, RGB, or RGBA if any of it is transparent.

    16-bit greys keep their high byte; floats and 32-bit integers are scaled to 0..255. Raises whatever Pillow
    raises.
    """
    image.load()
    if _orientation(image) != 1:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image  # type: ignore[no-any-return]
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_wide_to_bytes(np.asarray(image), image.mode))
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if not has_alpha and not (image.mode == "P" and image.palette.mode == "RGBA"):
        return image.convert("L" if image.mode == "1" else "RGB")  # type: ignore[no-any-return]
    coloured = image.convert("RGBA")
    opaque = coloured.getchannel("A").getextrema() == (255, 255)
    return coloured.convert("RGB") if opaque else coloured  # type: ignore[no-any-return]


def _wide_to_bytes(values: np.ndarray, mode: str) -> np.ndarray:
    """Greys (H, W) of any range as uint8: 16-bit ones by their high byte, others scaled by their range."""
    if mode.startswith("I;16"):
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0 or high > 65535:
        numbers = (numbers - low) * (255 / max(high - low, 1e-12))
    elif mode == "F" and high <= 1:
        numbers = numbers * 255
    elif high > 255:
        numbers = np.floor(numbers / 256)
    return np.clip(np.rint(numbers), 0, 255).astype(np.uint8)


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
        ground.paste(image, mask=image.getchannel("A"))
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def is_cut_short(data: bytes, name: str, image: Any) -> bool:
    """Whether bytes that did not decode are a truncated file of format `name`, by the lengths that the file states.

    `image` is the opened header, or None if opening it failed. For a format that states no lengths (GIF), the last
    byte decides.
    """
    if name == "JPEG":
        return _jpeg_is_cut(data)
    if name == "PNG":
        return _png_is_cut(data)
    if name == "WEBP":
        return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
    if name == "GIF":
        return not data.rstrip(b"\x00").endswith(b"\x3b")
    if name == "BMP":
        return len(data) < 26 or int.from_bytes(data[2:6], "little") > len(data)
    return _tiff_is_cut(data, image)


def _jpeg_is_cut(data: bytes) -> bool:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False  # damaged between segments
        marker = data[position + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
        elif marker == 0xDA:
            return data.rfind(b"\xff\xd9", position) < 0
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return True


def _png_is_cut(data: bytes) -> bool:
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return False
        if not data[position + 4 : position + 8].isalpha():
            return False  # a length before it is damaged
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True


def _tiff_is_cut(data: bytes, image: Any) -> bool:
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    if len(data) < 8:
        return True
    is_big = data[2:4] in (b"+\x00", b"\x00+")
    directory = data[8:16] if is_big else data[4:8]
    start = int.from_bytes(directory, order)
    if start + 2 > len(data):
        return True
    tags = getattr(image, "tag_v2", {})
    for offsets, counts in ((273, 279), (324, 325)):  # strips, tiles
        ends = [o + c for o, c in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)]
        if ends and max(ends) > len(data):
            return True
    return False
