"""What is wrong with a file that does not decode, or lost a part although it does; and how to get at sound pixels."""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, TiffImagePlugin

from cleaner.dataset.image_headers import read_jpeg_layout

_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""The chunks on which a PNG's pixels depend; tRNS alone of them may be left out."""
_PNG_TEXT = (b"iCCP", b"zTXt", b"iTXt", b"tEXt")
_JPEG_SIDE = frozenset([*range(0xE1, 0xEE), 0xEF, 0xFE])  # APP1 .. APP13, APP15, COM: not JFIF and Adobe's colours
_NOISE = hashlib.shake_128(b"more").digest(1 << 12).replace(b"\xff", b"\x5a")
_MORE_SCAN = _NOISE + b"".join(bytes([0xFF, 0xD0 + i]) + _NOISE[:256] for i in range(8))
"""Entropy-coded data for any place of a scan: a decoder in need of some finds the restart marker it waits for."""
_GREY = (126, 130)  # libjpeg puts 128 where data end too early
_BMP_EMBEDDED = (4, 5)  # JPEG and PNG, meant for printers
_JPEG_KNOWN = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # Huffman or arithmetic, sequential or progressive: not lossless


@dataclass(frozen=True)
class Bare:
    """A file without what surrounds its pixels."""

    data: bytes
    note: str
    """What was left out, and why."""


def without_wrapping(data: bytes, kind: str) -> Bare | None:
    """The same picture without what may keep a decoder from sound pixels: metadata, a missing end marker.

    None if there is nothing of the kind.
    """
    if kind == "PNG":
        return _bare_png(data)
    if kind == "JPEG":
        return _bare_jpeg(data)
    return None


def _bare_png(data: bytes) -> Bare | None:
    kept, at = [data[:8]], 8
    wrong: set[bytes] = set()
    left_out: set[bytes] = set()
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name, chunk = data[at + 4 : at + 8], data[at:end]
        has_wrong_sum = zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big")
        if name in _PNG_PIXELS and not (name == b"tRNS" and has_wrong_sum):
            kept.append(chunk)
        elif name == b"eXIf" and not has_wrong_sum:
            kept.append(chunk)  # the orientation
        else:
            (wrong if has_wrong_sum else left_out).add(name)
        if name == b"IEND":
            break
        at = end
    if not wrong | left_out:
        return None
    why, names = (
        ("wrong checksum in", wrong) if wrong else ("oversized or damaged", left_out & set(_PNG_TEXT) or left_out)
    )
    return Bare(b"".join(kept), f"{why} PNG chunk {', '.join(sorted(n.decode('latin-1') for n in names))}: ignored")


def _bare_jpeg(data: bytes) -> Bare | None:
    if read_jpeg_layout(data).end < 0:
        return Bare(data.rstrip(b"\xff") + b"\xff\xd9", "end marker missing")
    kept, at, num = [data[:2]], 2, 0
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data) and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] in _JPEG_SIDE:
            num += 1
        else:
            kept.append(data[at:end])
        at = end
    return Bare(b"".join([*kept, data[at:]]), "damaged metadata ignored") if num else None


def lost_its_end(data: bytes, image: Any, *, is_suspect: bool = False) -> bool:
    """Whether a JPEG that decoded was cut, and ended with a marker by whatever cut it.

    `image` is the decoded picture as it is stored. Decoders fill what is missing with grey without a word. If more data
    before the end marker change the picture, it still lacked some; a sound one ignores them. That takes a second
    decoding, so unless a picture `is_suspect` it is asked only of those whose last pixels are that grey, and of those
    sent in several scans, of which the last may be incomplete without any grey.
    """
    may_lack_scans = "progressive" in image.info or data.count(b"\xff\xda") > 1
    if not is_suspect and not may_lack_scans and not _ends_grey(image):
        return False
    layout = read_jpeg_layout(data)
    if layout.is_damaged or not layout.scans:
        return False  # libjpeg made do with it
    if layout.end < 0 or layout.lacks_scans:
        return True
    is_single = layout.is_baseline and len(layout.scans) == 1
    if is_single and not is_suspect and not _ends_grey(image):
        return False
    # a missing block shows at an eighth of the size; half the size shows the finest waves that a last scan adds
    divisor = 1 if is_suspect else 8 if is_single else 2
    whole = _decode_small(data, divisor)
    return _decode_small(data[: layout.end].rstrip(b"\xff") + _MORE_SCAN + data[layout.end :], divisor) != whole


def _ends_grey(image: Any) -> bool:
    last = image.crop((image.width - 1, image.height - 1, image.width, image.height))
    if last.mode == "RGB":
        last = last.convert("L")  # colours of a small last block mix with those beside it
    return all(_GREY[0] <= value <= _GREY[1] for band in last.split() for value in band.getextrema())


def _decode_small(data: bytes, divisor: int) -> bytes:
    image = Image.OPEN["JPEG"][0](io.BytesIO(data), "")
    image.draft(None, (max(1, image.width // divisor), max(1, image.height // divisor)))
    return image.tobytes()


def why_unknown(data: bytes, kind: str) -> str:
    """The layout, unknown to Pillow, of a sound file that did not open; '' if it is damaged."""
    if kind == "TIFF":
        return _unknown_tiff(data)
    if kind == "JPEG":
        layout = read_jpeg_layout(data)
        if layout.end < 0 or not layout.scans:
            return ""
        if layout.frame not in _JPEG_KNOWN:
            return "JPEG of a lossless or hierarchical process"
        is_known = layout.bits == 8 and layout.num_components in (1, 3, 4)
        return "" if is_known else f"JPEG of {layout.num_components} components of {layout.bits} bits"
    if kind == "BMP" and int.from_bytes(data[30:34], "little") in _BMP_EMBEDDED and not is_cut_short(data, kind, None):
        return "BMP that holds another format"
    return ""


def _unknown_tiff(data: bytes) -> str:
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 8 if data[2:4] in (b"*\0", b"\0*") else 16])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        width, height, bits = int(tags[256]), int(tags[257]), tags.get(258, (1,))
        counts = tags.get(279) or tags.get(325) or ()
        compression, num, form = tags.get(259, 1), tags.get(277, 1), tags.get(339, (1,))[0]
        needed = sum((width * b + 7) // 8 * height for b in (bits * num if len(bits) == 1 else bits))
        if not counts or _tiff_is_cut(data, tags) or (compression == 1 and sum(counts) < needed):
            return ""
        what = {2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}.get(form, "")
        coding = f"photometric {tags.get(262, 0)}, compression {compression}"
        return f"TIFF of {num} {what}samples of {max(bits)} bits, {coding}"
    except Exception:  # a damaged directory can make Pillow raise nearly anything
        return ""


def is_cut_short(data: bytes, name: str, image: Any) -> bool:
    """Whether bytes that did not decode are a truncated file of format `name`, by the lengths that the file states.

    `image` is the opened header, or None if opening it failed. For a format that states no lengths (GIF, bare JPEG XL),
    the last byte decides, or nothing.
    """
    if name == "JPEG":
        layout = read_jpeg_layout(data)
        return layout.end < 0 and not layout.is_damaged
    if name == "PNG":
        return _png_is_cut(data)
    if name == "WEBP":
        return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
    if name == "GIF":
        return not data.rstrip(b"\x00").endswith(b"\x3b")
    if name == "BMP":
        return len(data) < 26 or int.from_bytes(data[2:6], "little") > len(data)
    if name in ("AVIF", "HEIF", "JXL"):
        return not data.startswith(b"\xff\x0a") and _boxes_are_cut(data)
    return len(data) < 8 or _tiff_is_cut(data, getattr(image, "tag_v2", {}))


def _png_is_cut(data: bytes) -> bool:
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return False
        if not data[position + 4 : position + 8].isalpha():
            return False  # a length before it is damaged
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True


def _boxes_are_cut(data: bytes) -> bool:
    """Whether the boxes of an ISO base media file (ISO/IEC 14496-12) reach beyond the file."""
    position = 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if length == 0:  # to the end of the file
            return False
        position += max(length, 8)
    return position != len(data)


def _tiff_is_cut(data: bytes, tags: Any) -> bool:
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    is_big = data[2:4] in (b"+\x00", b"\x00+")
    directory = data[8:16] if is_big else data[4:8]
    start = int.from_bytes(directory, order)
    if start + 2 > len(data):
        return True
    for offsets, counts in ((273, 279), (324, 325)):  # strips, tiles
        ends = [o + c for o, c in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)]
        if ends and max(ends) > len(data):
            return True
    return False
