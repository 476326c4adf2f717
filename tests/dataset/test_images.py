from __future__ import annotations

import io
import os
import socket
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.files import find_file, list_files
from cleaner.dataset.images import UNIFORM_STD, inspect_image, load_rgb
from cleaner.errors import BadInputError

MAX = 100_000_000


def picture(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A smooth colourful picture that has no symmetry."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# ---- faults


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
    "phone.heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\0" * 50, "unsupported_format"),
    "icon.jpg": (encoded(picture(32, 32), "ICO"), "unsupported_format"),
    "plain.ppm": (encoded(picture(), "PPM"), "unsupported_format"),
    "plain.tga": (encoded(picture(), "TGA"), "unsupported_format"),
    "flat.avif": (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif" + b"\0" * 50, "unsupported_format"),
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


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png", encoded(picture(), "PNG"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert inspect_image(path, MAX).fault == "unreadable"


# ---- colours and orientation

RED, HALF_BLUE = (200, 40, 30), (20, 60, 220)


def wide_grey(values: list[int]) -> Image.Image:
    return Image.fromarray(np.repeat(np.array([values], dtype=np.uint16), 8, axis=0))


def flat(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (16, 8), colour)  # type: ignore[arg-type]


def with_alpha(alpha: int) -> Image.Image:
    return flat("RGBA", (*RED, alpha))


def palette_with_alpha() -> Image.Image:
    image = Image.new("P", (16, 8), 1)
    image.putpalette([0, 0, 0, *RED])
    image.info["transparency"] = 1
    return image


COLOURS = {
    "RGB": (flat("RGB", RED), "PNG", {}, RED),
    "L": (flat("L", 77), "PNG", {}, (77, 77, 77)),
    "1": (flat("1", 1), "PNG", {}, (255, 255, 255)),
    "P": (flat("RGB", RED).quantize(4), "PNG", {}, RED),
    "P gif": (flat("RGB", RED).quantize(4), "GIF", {}, RED),
    "P, transparent": (palette_with_alpha(), "PNG", {"transparency": 1}, (255, 255, 255)),
    "RGBA, opaque": (with_alpha(255), "PNG", {}, RED),
    "RGBA, half": (with_alpha(128), "PNG", {}, tuple(round(c * 128 / 255 + 255 * 127 / 255) for c in RED)),
    "RGBA, none": (with_alpha(0), "PNG", {}, (255, 255, 255)),
    "LA": (flat("LA", (50, 0)), "PNG", {}, (255, 255, 255)),
    "RGB, colour key": (flat("RGB", RED), "PNG", {"transparency": RED}, (255, 255, 255)),
    "CMYK": (flat("CMYK", (0, 255, 255, 0)), "JPEG", {"quality": 100}, (255, 0, 0)),
    "CMYK tiff": (flat("CMYK", (255, 0, 0, 0)), "TIFF", {}, (0, 255, 255)),
    "I;16": (wide_grey([100 * 257] * 16), "PNG", {}, (100, 100, 100)),
    "I;16 tiff": (wide_grey([200 * 256] * 16), "TIFF", {}, (200, 200, 200)),
    "I": (flat("I", 180 * 256), "TIFF", {}, (180, 180, 180)),
    "F": (flat("F", 0.5), "TIFF", {}, (128, 128, 128)),
    "LAB": (flat("LAB", (255, 128, 128)), "TIFF", {}, (255, 255, 255)),
    "YCbCr": (flat("YCbCr", (255, 128, 128)), "TIFF", {}, (255, 255, 255)),
    "WEBP": (flat("RGB", RED), "WEBP", {"lossless": True}, RED),
    "WEBP alpha": (with_alpha(0), "WEBP", {"lossless": True}, (255, 255, 255)),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_of_every_mode(tmp_path: Path, name: str) -> None:
    image, kind, options, colour = COLOURS[name]
    path = write(tmp_path / "x", encoded(image, kind, **options))
    facts = inspect_image(path, MAX)
    assert (facts.fault, facts.format, facts.width, facts.height) == ("", kind, 16, 8)
    pixels = load_rgb(path, 8)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.array(colour)).max() <= 2
    assert facts.num_colors == 1 and facts.pixel_std < UNIFORM_STD


def test_sixteen_bit_greys_keep_their_gradation(tmp_path: Path) -> None:
    levels = [0, 64 * 257, 128 * 257, 255 * 257]
    path = write(tmp_path / "x.png", encoded(wide_grey([v for v in levels for _ in range(4)]), "PNG"))
    row = load_rgb(path, 16)[4, :, 0]
    assert [int(row[i]) for i in (0, 6, 9, 15)] == pytest.approx([0, 64, 128, 255], abs=12)
    assert inspect_image(path, MAX).num_colors == 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    upright = picture(96, 64)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    turned = write(tmp_path / "turned", encoded(stored, kind, exif=exif, **options))
    plain = write(tmp_path / "plain.png", encoded(upright, "PNG"))
    facts, expected = inspect_image(turned, MAX), inspect_image(plain, MAX)
    assert (facts.width, facts.height) == (96, 64)
    assert facts.pixel_id == expected.pixel_id and facts.near_hash == expected.near_hash
    assert (load_rgb(turned, 32) == load_rgb(plain, 32)).all()
    assert (inspect_image(turned, 100).width, inspect_image(turned, 100).fault) == (96, "too_large")


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


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, kind: str) -> None:
    frames = [picture(seed=s).quantize(16).convert("RGB") for s in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    first = picture(seed=0).quantize(16).convert("RGB")
    path = write(tmp_path / "x", encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    still = write(tmp_path / "y.png", encoded(first, "PNG"))
    assert inspect_image(path, MAX).pixel_id == inspect_image(still, MAX).pixel_id
    assert (load_rgb(path, 32) == load_rgb(still, 32)).all()


def test_a_multi_picture_jpeg_is_a_jpeg(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jpg", encoded(picture(), "MPO", save_all=True, append_images=[picture(seed=1)]))
    facts = inspect_image(path, MAX)
    assert (facts.fault, facts.format, facts.mode) == ("", "JPEG", "RGB")


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


# ---- the list of files


def faults(root: Path, follow: bool = False) -> dict[str, str]:
    return {f.name: f.fault for f in list_files(root, follow)}


def test_hidden_files_are_aside_and_names_are_sorted(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a/1.jpg", ".git/x", "a/.hidden", "a/Thumbs.db", "z.txt", "a/sub/3.jpg"):
        write(tmp_path / name, b"x")
    found = list_files(tmp_path, False)
    assert [f.name for f in found] == ["a/1.jpg", "a/sub/3.jpg", "b/2.jpg", "z.txt"]
    assert all(f.size == 1 and f.mtime_ns > 0 and f.fault == "" for f in found)


def test_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(root / "a/1.jpg", b"x")
    write(root / ".store/kept/9.jpg", b"x")
    write(outside / "2.jpg", b"x")
    (root / "a/inside.jpg").symlink_to("1.jpg")
    (root / "a/out.jpg").symlink_to(outside / "2.jpg")
    (root / "a/gone.jpg").symlink_to("nowhere.jpg")
    (root / "a/loop.jpg").symlink_to("loop.jpg")
    (root / "a/up").symlink_to("..")
    (root / "a/self").symlink_to(".")
    (root / "0").symlink_to("a")
    (root / "b").symlink_to(outside)
    (root / "c").symlink_to(".store/kept")
    expected = {
        "a/1.jpg": "",
        "a/inside.jpg": "",
        "a/out.jpg": "outside_root",
        "a/gone.jpg": "missing",
        "a/loop.jpg": "unreadable",
        "b": "outside_root",
        "c/9.jpg": "",
    }
    assert faults(root) == expected
    followed = expected | {"a/out.jpg": "", "b/2.jpg": ""}
    del followed["b"]
    (outside / "back").symlink_to(root)
    assert faults(root, follow=True) == followed


def test_folders_that_link_to_one_another_end(tmp_path: Path) -> None:
    for name in "abcdef":
        write(tmp_path / name / "1.jpg", b"x")
        for other in "abcdef":
            (tmp_path / name / f"to_{other}").symlink_to(f"../{other}")
    assert list(faults(tmp_path)) == [f"{name}/1.jpg" for name in "abcdef"]


def test_pipes_sockets_and_closed_folders_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a/1.jpg", b"x")
    write(tmp_path / "closed/1.jpg", b"x")
    os.mkfifo(tmp_path / "a/pipe")
    monkeypatch.chdir(tmp_path / "a")  # a socket's path may have some 100 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        true_scandir = os.scandir

        def scandir(path: str) -> object:
            if str(path).endswith("closed"):
                raise PermissionError(13, "Permission denied")
            return true_scandir(path)

        monkeypatch.setattr(os, "scandir", scandir)
        found = faults(tmp_path)
    assert found == {"a/1.jpg": "", "a/pipe": "unreadable", "a/socket": "unreadable", "closed": "unreadable"}


def test_bad_names_are_printable_and_unique(tmp_path: Path) -> None:
    names = [
        b"a\x01.jpg",
        b"a\\x01.jpg",
        b"\xff\xfe.jpg",
        "ü日本.jpg".encode(),
        b"line\nbreak.jpg",
        b"\xe2\x80\xa8.jpg",
    ]
    folder = os.fsencode(tmp_path) + b"/c"
    Path(os.fsdecode(folder)).mkdir()
    for name in names:
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"x")
    found = faults(tmp_path)
    assert len(found) == len(names)
    assert all(name.isprintable() for name in found)
    assert {name for name, fault in found.items() if not fault} == {"c/a\\x01.jpg", "c/ü日本.jpg"}
    assert {r"c/\xff\xfe.jpg", r"c/line\x0abreak.jpg", r"c/\u2028.jpg"} <= found.keys()
    assert set(found.values()) == {"", "bad_name"}


def test_find_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / ".hidden/1.jpg", b"x")
    write(tmp_path / "2.jpg", b"x")
    (root / "out.jpg").symlink_to(tmp_path / "2.jpg")
    assert find_file(root, ".hidden/1.jpg", False).fault == ""
    assert find_file(root, "out.jpg", False).fault == "outside_root"
    assert find_file(root, "out.jpg", True).fault == ""
    assert find_file(root, "no.jpg", False).fault == "missing"
    assert find_file(root, ".hidden", False).fault == "unreadable"
