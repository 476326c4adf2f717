"""Files a scanner must refuse (damaged, foreign, oversized, misplaced) and files it must pass over."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

HTML = """<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The requested image was not found on this server.</p></body></html>
"""
SVG = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="120" height="120" viewBox="0 0 120 120">
  <rect width="120" height="120" fill="#e8eef4"/>
  <circle cx="60" cy="60" r="40" fill="#c8553d"/>
  <path d="M30 80 L60 30 L90 80 Z" fill="#f4d58d"/>
</svg>
"""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _encoded(image: Image.Image, form: str) -> bytes:
    """The image encoded in a format."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png(side: int) -> bytes:
    """Complete one-bit PNG of side x side black pixels, small on disk."""
    packer = zlib.compressobj(9)
    row = bytes((side + 7) // 8 + 1)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def broken_png(image: Image.Image) -> bytes:
    """PNG of full length with right checksums whose packed pixels are garbled in the middle."""
    image = image.convert("RGB")
    rows = b"".join(b"\0" + image.crop((0, y, image.width, y + 1)).tobytes() for y in range(image.height))
    packed = bytearray(zlib.compress(rows, 6))
    middle = len(packed) // 3
    packed[middle : middle + 400] = bytes([0xFF]) * 400
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", bytes(packed)) + _chunk(b"IEND", b"")


def broken_webp(image: Image.Image) -> bytes:
    """WebP of full length with a right header whose picture data are overwritten."""
    data = bytearray(_encoded(image, "WEBP"))
    data[34:] = bytes([0xFF]) * (len(data) - 34)
    return bytes(data)


def _link(path: Path, target: str) -> None:
    """Relative symbolic link."""
    path.symlink_to(target)


def _half(image: Image.Image, form: str) -> bytes:
    """First half of an encoded image."""
    data = _encoded(image, form)
    return data[: len(data) // 2]


def write_faults(folders: list[Path], pictures: list[Image.Image]) -> list[tuple[Path, str]]:
    """Write every fault into the class folders, in turn; return the paths with the fault's name."""
    made: list[tuple[Path, str]] = []

    def add(name: str, fault: str, write: Callable[[Path], object]) -> None:
        path = folders[len(made) % len(folders)] / name
        write(path)
        made.append((path, fault))

    def data(content: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(content)

    one, two = pictures[0], pictures[1]
    add("IMG_9001.jpg", "empty", data(b""))
    add("upload_9002.png", "empty", data(b""))
    add("IMG_9003.jpg", "truncated", data(_half(one, "JPEG")))
    add("IMG_9004.jpg", "truncated", data(_half(two, "JPEG")))
    add("scan_9005.png", "truncated", data(_half(one.resize((96, 96)), "PNG")))
    add("download_9006.jpg", "not_an_image", data(HTML.encode()))
    add("readme_9007.png", "not_an_image", data(b"This is a note about the pictures, not a picture.\n" * 4))
    add("drawing_9008.svg", "unsupported_format", data(SVG.encode()))
    add("icon_9009.ico", "unsupported_format", data(_encoded(one.resize((32, 32)), "ICO")))
    add("raw_9010.ppm", "unsupported_format", data(_encoded(two.resize((64, 64)), "PPM")))
    add("poster_9011.png", "too_large", data(huge_png(30000)))
    add("poster_9012.png", "too_large", data(huge_png(20000)))
    add("IMG_9013.png", "decode_error", data(broken_png(one.resize((112, 100)))))
    add("IMG_9014.webp", "decode_error", data(broken_webp(two)))
    add("shared_9015.jpg", "outside_root", lambda path: _link(path, "../../outside/photo_1.jpg"))
    add("shared_9016.jpg", "outside_root", lambda path: _link(path, "../../outside/photo_2.jpg"))
    add("IMG_9017.jpg", "missing", lambda path: _link(path, "IMG_no_longer_here.jpg"))
    add("IMG_9018.jpg", "missing", lambda path: _link(path, "../misc/removed.jpg"))
    add("loop_9019.jpg", "unreadable", lambda path: _link(path, "loop_9019.jpg"))
    add("loop_9020.png", "unreadable", lambda path: _link(path, "./loop_9020.png"))
    add("two\nlines_9021.jpg", "bad_name", data(_encoded(pictures[2], "JPEG")))
    add("bell\x07_9022.jpg", "bad_name", data(_encoded(pictures[3], "JPEG")))
    return made


def write_hidden(root: Path, folders: list[Path]) -> None:
    """Write the files that desktops leave behind; a scanner passes over them."""
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(120))
    (folders[0] / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(120))
    (folders[1] / "Thumbs.db").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(248))
    (folders[2] / "._IMG_0001.jpg").write_bytes(bytes.fromhex("00051607") + bytes(78))
