"""The inspection of one image: damaged files, equal pictures."""

from __future__ import annotations

import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from cleaner.dataset.images import inspect_image, load_rgb
from cleaner.errors import BadInputError
from tests.support.permissions import permissions_hold
from tests.support.pictures import MAX, encoded, picture, write


def damaged_png() -> bytes:
    data = bytearray(encoded(picture(), "PNG"))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    return bytes(data)


def png_with_size(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


BAD_BYTES = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is no image at all\n" * 30, "not_an_image"),
    "html.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
    "random.png": (np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes(), "not_an_image"),
    "BM.txt": (b"BMW and other makers of cars, a text that begins like a bitmap", "not_an_image"),
    "drawing.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "unsupported_format"),
    "page.pdf": (b"%PDF-1.7\n" + b"x" * 100, "unsupported_format"),
    "icon.jpg": (encoded(picture(32, 32), "ICO"), "unsupported_format"),
    "plain.ppm": (encoded(picture(), "PPM"), "unsupported_format"),
    "plain.tga": (encoded(picture(), "TGA"), "unsupported_format"),
    "damaged.png": (damaged_png(), "decode_error"),
    "bomb.png": (png_with_size(60_000, 60_000), "too_large"),
    "no_pixels.png": (png_with_size(50, 50), "decode_error"),
}
CUT = {
    "half.jpg": ("JPEG", 0.5),
    "tail.jpg": ("JPEG", 0.95),
    "head.jpg": ("JPEG", 0.05),
    "half.png": ("PNG", 0.5),
    "head.png": ("PNG", 0.005),
    "half.gif": ("GIF", 0.5),
    "half.bmp": ("BMP", 0.5),
    "half.tif": ("TIFF", 0.5),
    "half.webp": ("WEBP", 0.5),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_each_bad_file_gets_its_fault(tmp_path: Path, name: str) -> None:
    data, fault = BAD_BYTES[name]
    facts = inspect_image(write(tmp_path / name, data), MAX)
    assert facts.fault == fault
    assert facts.file_bytes == len(data)
    assert len(facts.image_id) == 64
    assert facts.pixel_id == "" and facts.near_hash == b"" and facts.num_colors == -1


@pytest.mark.parametrize("name", CUT)
def test_files_cut_short_are_truncated(tmp_path: Path, name: str) -> None:
    kind, share = CUT[name]
    whole = encoded(picture(200, 150), kind)
    facts = inspect_image(write(tmp_path / name, whole[: max(12, int(len(whole) * share))]), MAX)
    assert facts.fault == "truncated"
    assert facts.format == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damage_inside_a_whole_file_is_not_called_truncated(tmp_path: Path, kind: str) -> None:
    whole = bytearray(encoded(picture(200, 150), kind))
    whole[20:24] = b"\xee\xee\xee\xee"
    whole[len(whole) // 2 : len(whole) // 2 + 200] = b"\x00\xff" * 100
    facts = inspect_image(write(tmp_path / "x", bytes(whole)), MAX)
    assert facts.fault in ("decode_error", "")  # libjpeg makes do with much
    if kind == "PNG":
        assert facts.fault == "decode_error"


def test_a_thumbnail_in_the_header_does_not_hide_a_cut(tmp_path: Path) -> None:
    thumbnail = encoded(picture(32, 32), "JPEG")
    data = encoded(picture(200, 150), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00" + thumbnail)
    assert inspect_image(write(tmp_path / "whole.jpg", data), MAX).fault == ""
    assert inspect_image(write(tmp_path / "cut.jpg", data[: len(data) - 500]), MAX).fault == "truncated"


def test_size_is_checked_before_decoding_and_known(tmp_path: Path) -> None:
    facts = inspect_image(write(tmp_path / "a.png", encoded(picture(96, 64), "PNG")), 96 * 64 - 1)
    assert (facts.fault, facts.width, facts.height) == ("too_large", 96, 64)
    assert inspect_image(tmp_path / "a.png", 96 * 64).fault == ""


def test_pillow_warnings_do_not_leak(tmp_path: Path) -> None:
    write(tmp_path / "large.png", png_with_size(10_000, 10_000))
    write(
        tmp_path / "odd.jpg",
        encoded(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x01" * 30),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert inspect_image(tmp_path / "large.png", MAX).fault == "decode_error"
        assert inspect_image(tmp_path / "odd.jpg", MAX).fault == ""


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    done = threading.Event()

    def look() -> None:
        assert inspect_image(tmp_path / "pipe.jpg", MAX).fault == "unreadable"
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(5)
    assert inspect_image(tmp_path / "absent.jpg", MAX).fault == "missing"


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", encoded(picture(), "PNG"))
    path.chmod(0)
    with permissions_hold():
        assert inspect_image(path, MAX).fault == "unreadable"


def test_equal_pictures_in_other_clothes_have_one_pixel_id(tmp_path: Path) -> None:
    few = picture().quantize(32)
    rgb = few.convert("RGB")
    files = {
        "a.png": encoded(few, "PNG"),
        "b.bmp": encoded(rgb, "BMP"),
        "c.png": encoded(rgb, "PNG"),
        "d.tif": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "e.webp": encoded(rgb, "WEBP", lossless=True),
        "f.gif": encoded(few, "GIF"),
        "g.png": encoded(rgb.convert("RGBA"), "PNG"),
    }
    facts = [inspect_image(write(tmp_path / name, data), MAX) for name, data in files.items()]
    assert len({f.pixel_id for f in facts}) == 1
    assert len({f.near_hash for f in facts}) == 1
    assert len({f.image_id for f in facts}) == len(files)
    other = rgb.copy()
    other.putpixel((5, 5), (1, 2, 3))
    assert inspect_image(write(tmp_path / "o.png", encoded(other, "PNG")), MAX).pixel_id != facts[0].pixel_id


def test_grey_and_colour_files_of_one_grey_picture_are_equal(tmp_path: Path) -> None:
    grey = picture().convert("L")
    a = inspect_image(write(tmp_path / "a.png", encoded(grey, "PNG")), MAX)
    b = inspect_image(write(tmp_path / "b.png", encoded(grey.convert("RGB"), "PNG")), MAX)
    assert a.pixel_id == b.pixel_id and (a.mode, b.mode) == ("L", "RGB")


def test_load_rgb_with_draft_is_close_to_the_whole_decode(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jpg", encoded(picture(800, 600), "JPEG", quality=95))
    quick, whole = load_rgb(path, 96), load_rgb(path, 96, draft=False)
    assert np.abs(quick.astype(int) - whole.astype(int)).mean() < 1.5


def test_load_rgb_names_a_file_that_changed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png", encoded(picture(), "PNG"))
    image_id = inspect_image(path, MAX).image_id
    load_rgb(path, 32, image_id=image_id)
    write(path, encoded(picture(seed=2), "PNG"))
    with pytest.raises(BadInputError, match=r"x\.png"):
        load_rgb(path, 32, image_id=image_id)
    for data in (b"", b"text", encoded(picture(), "PNG")[:300], encoded(picture(), "PPM")):
        write(path, data)
        with pytest.raises(BadInputError, match=r"x\.png"):
            load_rgb(path, 32)
    path.unlink()
    with pytest.raises(BadInputError, match=r"x\.png"):
        load_rgb(path, 32)
