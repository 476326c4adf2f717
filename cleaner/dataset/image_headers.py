"""What the first bytes of an image file state, read without a decoder: sizes, depths, the scans of a JPEG."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from PIL import Image

ORIENTATION_TAG = 0x0112
TRANSPOSED = (5, 6, 7, 8)
"""Orientations (EXIF and JPEG XL) that swap width and height."""
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # of JPEG XL, width over height
_LENGTH_BITS = (9, 13, 18, 30)
_BOXES_WITHIN = 1 << 16  # the boxes that describe the picture come first
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), (0xC2, 0xCA)
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length
_SCAN_ENDS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def stated_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """Upright width and height that a file states whose decoder takes memory for pixels when it is opened.

    None for formats other than WebP and JPEG XL, and where the size cannot be found.
    """
    return _webp_size(data) if kind == "WEBP" else _jxl_size(data) if kind == "JXL" else None


def stated_bits(data: bytes, kind: str) -> int:
    """Bits of a sample that an AVIF or HEIF file states; 8 where it states none, and for other formats."""
    boxes = re.finditer(b"pixi", data[:_BOXES_WITHIN]) if kind in ("AVIF", "HEIF") else ()
    return max((data[box.end() + 5] for box in boxes if box.end() + 5 < len(data)), default=8)


def _number(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "big")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X":
        size = int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
        return size[::-1] if body[0] & 8 and _webp_is_turned(data) else size
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _webp_is_turned(data: bytes) -> bool:
    exif = Image.Exif()
    try:
        exif.load(data[data.rindex(b"EXIF") + 8 :])
        return int(exif.get(ORIENTATION_TAG, 1)) in TRANSPOSED
    except Exception:  # damaged metadata says nothing about the pixels
        return False


def _jxl_size(data: bytes) -> tuple[int, int] | None:
    """The size of the codestream's header (ISO/IEC 18181-1, SizeHeader), in a container or bare."""
    at = 0
    if not data.startswith(b"\xff\x0a"):
        starts = [data.find(box, 0, _BOXES_WITHIN) + skip for box, skip in ((b"jxlc", 4), (b"jxlp", 8))]
        at = next((start for start in starts if data[start : start + 2] == b"\xff\x0a"), -1)
        if at < 0:
            return None
    bits = int.from_bytes(data[at + 2 : at + 18], "little")

    def take(num: int) -> int:
        nonlocal bits
        value = bits & (1 << num) - 1
        bits >>= num
        return value

    def side(is_small: int) -> int:
        return (take(5) + 1) * 8 if is_small else take(_LENGTH_BITS[take(2)]) + 1

    is_small = take(1)
    height = side(is_small)
    ratio = take(3)
    width = height * _RATIOS[ratio][0] // _RATIOS[ratio][1] if ratio else side(is_small)
    is_default, has_more = take(1), take(1)
    is_turned = not is_default and has_more and take(3) + 1 in TRANSPOSED
    return (height, width) if is_turned else (width, height)


@dataclass
class JpegLayout:
    """The segments of a JPEG (ITU-T T.81), as far as they can be followed."""

    frame: int = 0
    """The marker of the frame header, 0xC0 .. 0xCF; 0 if there is none."""
    bits: int = 8
    num_components: int = 0
    scans: list[tuple[bytes, int, int, int]] = field(default_factory=list)
    """Of each scan: components, first and last coefficient, and the number of low bits that are still to come."""
    end: int = -1
    """Where the end marker stands; -1 if the file ends before it, or is damaged there."""
    is_damaged: bool = False
    """Whether something else stands where a marker must."""

    @property
    def is_baseline(self) -> bool:
        """Whether it is sequential and Huffman-coded, as most are."""
        return self.frame in _BASELINE

    @property
    def lacks_scans(self) -> bool:
        """Whether a progressive picture ends before every coefficient was sent down to its last bit."""
        if self.frame not in _PROGRESSIVE:
            return False
        left = {(c, k): 1 for scan in self.scans for c in scan[0] for k in range(64)}
        for components, first, last, low in self.scans:
            left |= {(c, k): low for c in components for k in range(first, min(last, 63) + 1)}
        return len({c for c, _ in left}) < self.num_components or any(left.values())


def read_jpeg_layout(data: bytes) -> JpegLayout:
    """Follow the markers of a JPEG to its end marker, or as far as they make sense."""
    layout, at = JpegLayout(), 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            layout.is_damaged = True
            break
        marker = data[at + 1]
        if marker == 0xD9:
            layout.end = at
            return layout
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        body = data[at + 4 : at + 2 + _number(data, at + 2, 2)]
        at += 2 + _number(data, at + 2, 2)
        if marker in _FRAME_HEADERS and len(body) > 5:
            layout.frame, layout.bits, layout.num_components = marker, body[0], body[5]
        elif marker == 0xDA and len(body) >= 4:
            layout.scans.append((body[1:-3:2], body[-3], body[-2], body[-1] & 15))
            following = _SCAN_ENDS.search(data, at)
            if following is None:
                break
            at = following.start()
    return layout
