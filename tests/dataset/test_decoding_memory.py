"""What may be decoded: sizes and memory, known before a decoder runs."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.decoding_memory import decoding_bytes, most_bytes
from cleaner.dataset.image_headers import stated_size
from cleaner.dataset.images import inspect_image
from cleaner.dataset.pixels import open_image
from tests.support.odd_files import png_with_size, tiff_of, webp_with_size
from tests.support.pictures import MAX, encoded, picture, write
from tests.support.places import REPO


def tiff_with_size(width: int, height: int, bits: int = 32, form: int = 3, rows_per_strip: int = 1 << 30) -> bytes:
    numbers = {256: width, 257: height, 273: 0, 278: rows_per_strip, 279: 64}
    shorts = {258: bits, 259: 8, 262: 1, 277: 1, 339: form}
    tags = [(tag, 4, (value,)) for tag, value in numbers.items()] + [(tag, 3, (v,)) for tag, v in shorts.items()]
    return tiff_of(sorted(tags), bytes(64))


def bitmap_with_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def bare_jxl(width: int, height: int) -> bytes:
    """The header of a JPEG XL codestream with both sides written in 30 bits."""
    bits = (3 << 1) | (height - 1) << 3 | 3 << 36 | (width - 1) << 38 | 1 << 68
    return b"\xff\x0a" + bits.to_bytes(32, "little")


@pytest.mark.parametrize(
    "data",
    [
        png_with_size(2**31, 7),
        png_with_size(3, 2**32 - 1),
        tiff_with_size(2**31 + 5, 2),
        tiff_with_size(4, 2**32 - 2, bits=16, form=1),
        bitmap_with_size(2**31 - 1, 3),
        bitmap_with_size(5, -(2**31)),
    ],
)
def test_sides_of_any_length_are_refused_and_fit_into_the_manifest(tmp_path: Path, data: bytes) -> None:
    facts = inspect_image(write(tmp_path / "x", data), MAX)
    assert facts.fault in ("too_large", "truncated", "decode_error")
    assert 0 <= facts.width < 2**31 and 0 <= facts.height < 2**31
    if facts.fault == "too_large":
        assert " x " in facts.notes


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (webp_with_size(9_000, 8_000), (9_000, 8_000)),
        (bare_jxl(9_300, 9_100), (9_300, 9_100)),
        (tiff_with_size(9_500, 9_500), (9_500, 9_500)),
        (png_with_size(9_000, 9_000, bits=16), (9_000, 9_000)),
        (png_with_size(9_900, 9_900, colour=6), (9_900, 9_900)),
    ],
    ids=["webp", "jxl", "float tiff", "16-bit colours", "alpha"],
)
def test_what_takes_too_much_memory_to_decode_is_too_large(
    tmp_path: Path, data: bytes, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    if "jxl" in request.node.name:
        pytest.importorskip("pillow_jxl")
    path = write(tmp_path / "x", data)
    facts = inspect_image(path, MAX)
    assert (facts.fault, facts.width, facts.height) == ("too_large", *size)
    assert "MB to decode" in facts.notes
    if "float" in request.node.name:  # the quickest to find damaged
        assert inspect_image(path, 6 * size[0] * size[1]).fault == "decode_error"


def test_plain_colour_of_the_allowed_size_is_read(tmp_path: Path) -> None:
    for kind in ("PNG", "BMP", "JPEG", "GIF", "TIFF", "WEBP"):
        assert inspect_image(write(tmp_path / "x", encoded(picture(), kind)), 96 * 64).fault == ""
    header = open_image(png_with_size(10_000, 10_000), "PNG")
    assert decoding_bytes(header, "PNG") < most_bytes(MAX)


@pytest.mark.parametrize(("width", "height"), [(300_000, 7), (41, 1 << 20), (16_384, 16_384)])
def test_the_size_of_a_jpeg_xl_is_known_without_a_decoder(width: int, height: int) -> None:
    assert stated_size(bare_jxl(width, height), "JXL") == (width, height)
    boxed = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x40jxlp\0\0\0\0" + bare_jxl(width, height)
    assert stated_size(boxed, "JXL") == (width, height)
    assert stated_size(boxed[:20], "JXL") is None


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_of_a_webp_is_known_upright_without_a_decoder(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = (96, 64) if orientation == 1 else (64, 96)
    assert stated_size(encoded(picture(), "WEBP", exif=exif), "WEBP") == expected
    assert stated_size(encoded(picture(), "WEBP"), "WEBP") == (96, 64)
    assert stated_size(encoded(picture(7, 31), "WEBP", lossless=True), "WEBP") == (7, 31)


PEAK = """
import resource, sys
from cleaner.dataset.images import inspect_image
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inspect_image(sys.argv[1], 10**8)
before = peak()
for name in sys.argv[2:]:
    assert inspect_image(name, 10**8).fault == "", name
print((peak() - before) * (1 if sys.platform == "darwin" else 1024))
"""


def test_decoding_takes_no_more_than_was_reckoned(tmp_path: Path) -> None:
    image = picture(1600, 1500)
    grey = np.asarray(image.convert("L"))
    alpha = image.copy()
    alpha.putalpha(image.convert("L"))
    files = {
        "p.jpg": encoded(image, "JPEG", progressive=True, subsampling=0),
        "w.webp": encoded(alpha, "WEBP", method=0),
        "f.tif": encoded(Image.fromarray(grey.astype(np.float32)), "TIFF", compression="tiff_adobe_deflate"),
        "a.png": encoded(alpha, "PNG", compress_level=1),
        "c.jpg": encoded(image.convert("CMYK"), "JPEG"),
    }
    small = write(tmp_path / "small.png", encoded(picture(), "PNG"))
    for name, data in files.items():
        kind = {"jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "png": "PNG"}[name[2:]]
        path = write(tmp_path / name, data)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(small), str(path)],
            env=os.environ | {"PYTHONPATH": str(REPO)},
            capture_output=True,
            text=True,
            check=True,
        )
        reckoned = decoding_bytes(open_image(data, kind), kind) + len(data)
        assert int(done.stdout) <= reckoned + 12_000_000, name  # pieces and what an allocator rounds
