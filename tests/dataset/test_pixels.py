"""Decoding: every mode in its colours, upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.images import UNIFORM_STD, inspect_image, load_rgb
from tests.support.pictures import MAX, encoded, picture, write

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
