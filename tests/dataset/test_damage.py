"""Sound pixels in faulty files, and lost ones in files that decode."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cleaner.dataset.images import ImageFacts, inspect_image, load_rgb
from tests.support.odd_files import png_chunk, png_with_chunk, tiff
from tests.support.pictures import MAX, encoded, picture, write

END = b"\xff\xd9"


def facts_of(tmp_path: Path, data: bytes) -> ImageFacts:
    return inspect_image(write(tmp_path / "x", data), MAX)


def detailed(seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (150, 110)) -> Image.Image:
    rng = np.random.default_rng(seed)
    grain = rng.integers(-20, 21, (size[1], size[0], 3))
    base = np.asarray(picture(*size, seed=seed)).astype(int)
    return Image.fromarray(np.clip(base + grain, 0, 255).astype(np.uint8)).convert(mode)


# ---- metadata

LARGE = zlib.compress(b"a history of edits, " * 70_000)
ODD_CHUNKS = {
    "sum of cHRM": png_chunk(b"cHRM", bytes(32), has_wrong_sum=True),
    "sum of tIME": png_chunk(b"tIME", bytes(7), has_wrong_sum=True),
    "sum of eXIf": png_chunk(b"eXIf", b"II*\0" + bytes(20), has_wrong_sum=True),
    "sum of a private one": png_chunk(b"prIv", b"abc", has_wrong_sum=True),
    "zTXt": png_chunk(b"zTXt", b"Log\0\0" + LARGE),
    "iTXt": png_chunk(b"iTXt", b"Log\0\1\0\0\0" + LARGE),
    "iCCP": png_chunk(b"iCCP", b"wide\0\0" + LARGE),
}


@pytest.mark.parametrize("name", ODD_CHUNKS)
@pytest.mark.parametrize("at_end", [False, True])
def test_side_chunks_of_a_png_do_not_spoil_its_pixels(tmp_path: Path, name: str, at_end: bool) -> None:
    data = png_with_chunk(ODD_CHUNKS[name], at_end=at_end)
    facts, plain = facts_of(tmp_path, data), facts_of(tmp_path, encoded(picture(), "PNG"))
    assert (facts.fault, facts.pixel_id) == ("", plain.pixel_id)
    load_rgb(write(tmp_path / "x", data), 32, image_id=facts.image_id)
    chunk = ODD_CHUNKS[name][4:8].decode()
    if facts.notes or not at_end:  # Pillow does not ask for the checksums of those at the end
        assert chunk in facts.notes and ("checksum" in facts.notes) == ("sum" in name)


def test_a_wrong_checksum_of_pixels_is_damage(tmp_path: Path) -> None:
    data = bytearray(encoded(picture(), "PNG"))
    data[data.index(b"IDAT") + 4] ^= 1
    assert facts_of(tmp_path, bytes(data)).fault == "decode_error"
    assert facts_of(tmp_path, png_with_chunk(ODD_CHUNKS["zTXt"])[:-400]).fault == "truncated"


def test_the_orientation_survives_a_damaged_chunk_beside_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    whole = encoded(picture(), "PNG", exif=exif)
    facts = facts_of(tmp_path, whole[:33] + ODD_CHUNKS["sum of tIME"] + whole[33:])
    assert (facts.fault, facts.width, facts.height) == ("", 64, 96)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("seed", range(4))
def test_junk_in_exif_does_not_spoil_pixels(tmp_path: Path, kind: str, seed: int) -> None:
    junk = np.random.default_rng(seed).integers(0, 256, 300, dtype=np.uint8).tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + junk
    image = picture().convert("RGB")
    facts = facts_of(tmp_path, encoded(image, kind, exif=exif))
    assert facts.fault == ""


# ---- JPEGs that lost their end

KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "grey": {},
    "cmyk": {},
    "progressive": {"progressive": True},
    "no subsampling": {"subsampling": 0, "quality": 95},
    "restarts": {"restart_marker_rows": 1},
    "many restarts": {"restart_marker_blocks": 2, "optimize": True},
}


def jpeg(name: str, image: Image.Image) -> bytes:
    return encoded(image.convert({"grey": "L", "cmyk": "CMYK"}.get(name, "RGB")), "JPEG", **KINDS[name])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8, 0.96])
def test_a_jpeg_cut_short_is_truncated_though_it_ends_with_a_marker(tmp_path: Path, name: str, share: float) -> None:
    data = jpeg(name, detailed())
    cut = data[: int(len(data) * share)]
    for end in (END, b"\xff" + END, b""):
        facts = facts_of(tmp_path, cut + end)
        assert (facts.fault, facts.pixel_id, facts.width) == ("truncated", "", 150)


@pytest.mark.parametrize("name", KINDS)
def test_a_sound_jpeg_with_a_grey_floor_is_sound(tmp_path: Path, name: str) -> None:
    image = detailed(1)
    ImageDraw.Draw(image).rectangle((0, 70, 150, 110), fill=(128, 128, 128))
    for picture_ in (image, Image.new("RGB", (37, 21), (128, 128, 128)), detailed(2)):
        facts = facts_of(tmp_path, jpeg(name, picture_))
        assert (facts.fault, facts.notes) == ("", "")


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_end_marker_alone_is_no_fault(tmp_path: Path, name: str) -> None:
    data = jpeg(name, detailed(3))
    whole = facts_of(tmp_path, data)
    for short in (data[:-1], data[:-2]):
        facts = facts_of(tmp_path, short)
        assert (facts.fault, facts.pixel_id) == ("", whole.pixel_id)
        assert facts.notes in ("", "end marker missing")  # Pillow does without that of some
        load_rgb(write(tmp_path / "x", short), 32, image_id=facts.image_id)
    assert facts_of(tmp_path, data + b"what follows the end " * 40).fault == ""


# ---- sound files that no decoder knows


def unknown_files() -> dict[str, bytes]:
    rgb = np.asarray(picture())
    whole = bytearray(encoded(picture(), "JPEG"))
    frame = whole.index(b"\xff\xc0")
    deep, lossless = whole.copy(), whole.copy()
    deep[frame + 4], lossless[frame + 1] = 12, 0xC3
    bitmap = bytearray(encoded(picture(), "BMP"))
    bitmap[30:34] = struct.pack("<I", 4)
    return {
        "grey and three more": tiff(np.dstack([rgb, rgb[..., 0]]), 1, extra=(0, 0, 0)),
        "cmyk and alpha, big": tiff(np.dstack([rgb, rgb[..., :2]]), 5, extra=(2,), order=">"),
        "float colours, packed": tiff(rgb.astype(np.float32), 2, packed=True),
        "double": tiff(rgb[..., :1].astype(np.float64), 1),
        "signed colours": tiff(rgb.astype(np.int16), 2),
        "12-bit JPEG": bytes(deep),
        "lossless JPEG": bytes(lossless),
        "JPEG in BMP": bytes(bitmap),
    }


@pytest.mark.parametrize("name", unknown_files())
def test_a_sound_layout_that_no_decoder_knows_is_unsupported(tmp_path: Path, name: str) -> None:
    data = unknown_files()[name]
    facts = facts_of(tmp_path, data)
    assert facts.fault == "unsupported_format" and facts.format in facts.notes
    assert facts_of(tmp_path, data[: len(data) // 2]).fault in ("truncated", "decode_error")


def test_a_layout_that_is_known_is_read_or_damaged(tmp_path: Path) -> None:
    rgb = np.asarray(picture())
    assert facts_of(tmp_path, tiff(rgb, 2)).fault == ""
    data = bytearray(tiff(rgb, 2, packed=True))
    data[-len(data) // 2 :] = b"\xee" * (len(data) // 2)
    assert facts_of(tmp_path, bytes(data)).fault == "decode_error"
