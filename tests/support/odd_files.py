"""Image files that are unusual or damaged, byte by byte."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tests.support.pictures import encoded, picture


def png_chunk(name: bytes, body: bytes, *, has_wrong_sum: bool = False) -> bytes:
    total = zlib.crc32(name + body) ^ has_wrong_sum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", total)


def png_with_size(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header promises this size; its pixels are too few."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png_with_chunk(chunk: bytes, seed: int = 0, *, at_end: bool = False) -> bytes:
    """A sound PNG with one more chunk, behind the header or before the end."""
    whole = encoded(picture(seed=seed), "PNG")
    place = len(whole) - 12 if at_end else 33
    return whole[:place] + chunk + whole[place:]


def png16(values: np.ndarray) -> bytes:
    """A PNG of uint16 `values` (H, W, C), C from 1 to 4."""
    height, width, channels = values.shape
    rows = values.astype(">u2").tobytes()
    stride = width * channels * 2
    packed = zlib.compress(b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def tiff(
    pixels: np.ndarray, photometric: int, *, extra: tuple[int, ...] = (), order: str = "<", packed: bool = False
) -> bytes:
    """A TIFF of one strip of `pixels` (H, W, C) of any type, `packed` by deflate or not."""
    height, width, channels = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if packed else data
    tags: list[tuple[int, int, tuple[int, ...]]] = [
        (256, 4, (width,)),
        (257, 4, (height,)),
        (258, 3, (pixels.dtype.itemsize * 8,) * channels),
        (259, 3, (8 if packed else 1,)),
        (262, 3, (photometric,)),
        (273, 4, (0,)),
        (277, 3, (channels,)),
        (278, 4, (height,)),
        (279, 4, (len(data),)),
        (339, 3, ({"u": 1, "i": 2, "f": 3}[pixels.dtype.kind],) * channels),
    ]
    tags += [(338, 3, extra)] if extra else []
    return tiff_of(sorted(tags), data, order)


def tiff_of(tags: list[tuple[int, int, tuple[int, ...]]], data: bytes, order: str = "<") -> bytes:
    """A TIFF of (tag, 3 for short or 4 for long, values), and `data` at the offset of tag 273."""
    bodies = {t: b"".join(struct.pack(order + ("H" if k == 3 else "I"), v) for v in values) for t, k, values in tags}
    behind = 8 + 2 + 12 * len(tags) + 4
    strip_at = behind + sum(len(body) for body in bodies.values() if len(body) > 4)
    bodies[273] = struct.pack(order + "I", strip_at)
    entries, rest = b"", b""
    for tag, kind, values in tags:
        entries += struct.pack(order + "HHI", tag, kind, len(values))
        if len(bodies[tag]) <= 4:
            entries += bodies[tag].ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", behind + len(rest))
            rest += bodies[tag]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return head + entries + b"\0\0\0\0" + rest + data


def webp_with_size(width: int, height: int) -> bytes:
    """A lossless WebP of one colour: a few bytes whatever its size."""
    data = bytearray(encoded(picture(1, 1), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    rest = int.from_bytes(data[at : at + 4], "little") >> 28 << 28
    data[at : at + 4] = (rest | (height - 1) << 14 | (width - 1)).to_bytes(4, "little")
    return bytes(data)
