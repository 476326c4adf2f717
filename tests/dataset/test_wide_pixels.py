"""Pictures of more than 8 bits a sample: what is shown, and which are equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset import wide_pixels
from cleaner.dataset.images import ImageFacts, inspect_image, load_rgb
from cleaner.dataset.wide_pixels import shown_range
from tests.support.odd_files import png16, tiff
from tests.support.pictures import MAX, encoded, picture, write


def grey(seed: int = 0) -> np.ndarray:
    """(64, 96) uint16, 0..255."""
    return np.asarray(picture(seed=seed).convert("L")).astype(np.uint16)


def facts_of(tmp_path: Path, data: bytes) -> ImageFacts:
    return inspect_image(write(tmp_path / "x", data), MAX)


def shown(tmp_path: Path, data: bytes) -> np.ndarray:
    """One channel of what is seen, at full size."""
    return np.asarray(load_rgb(write(tmp_path / "x", data), 96))[..., 0]


@pytest.mark.parametrize(
    ("low", "high", "is_float", "expected"),
    [
        (0, 0, False, (0, 1)),
        (0, 1, False, (0, 1)),
        (3, 77, False, (0, 255)),
        (0, 255, False, (0, 255)),
        (0, 256, False, (0, 1023)),
        (0, 3000, False, (0, 4095)),
        (900, 4096, False, (0, 65535)),
        (0, 1 << 20, False, (0, 1 << 20)),
        (-1000, 3071, False, (-1000, 3071)),
        (0, 0.004, True, (0, 1)),
        (-0.04, 1.1, True, (0, 1)),
        (0, 6.5, True, (0, 6.5)),
        (0, 80, True, (0, 255)),
        (0, 270, True, (0, 255)),
        (-1, 1, True, (-1, 1)),
        (-5, -2, True, (-5, -2)),
    ],
)
def test_black_is_zero_and_white_the_smallest_usual_scale(
    low: float, high: float, is_float: bool, expected: tuple[float, float]
) -> None:
    assert shown_range(low, high, is_float) == expected


@pytest.mark.parametrize("factor", [1, 3, 13, 180, 257])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF, big"])
def test_greys_of_any_depth_keep_their_content(tmp_path: Path, factor: int, kind: str) -> None:
    values = grey() * factor
    data = png16(values[..., None]) if kind == "PNG" else tiff(values[..., None], 1, order="<>"[kind == "TIFF, big"])
    scale = next(s for s in wide_pixels.SCALES if values.max() <= s)
    facts = facts_of(tmp_path, data)
    assert (facts.fault, facts.num_colors > 30) == ("", True)
    assert facts.notes == f"16-bit values: 0 to {scale} shown as black to white"
    expected = np.rint(values * (255 / scale))
    assert np.abs(shown(tmp_path, data).astype(int) - resized(expected)).max() <= 2


def resized(values: np.ndarray) -> np.ndarray:
    image = Image.fromarray(values.astype(np.uint8)).convert("RGB")
    return np.asarray(image.resize((96, 96), Image.Resampling.BICUBIC, reducing_gap=2.0))[..., 0].astype(int)


@pytest.mark.parametrize("maker", ["png", "rgb png", "rgba png", "tiff", "big tiff", "packed tiff", "float", "int"])
def test_pictures_that_differ_in_their_last_bit_are_no_exact_copies(tmp_path: Path, maker: str) -> None:
    wide = {
        "png": lambda v: png16(v[..., :1]),
        "rgb png": lambda v: png16(v[..., :3]),
        "rgba png": png16,
        "tiff": lambda v: tiff(v[..., :3], 2),
        "big tiff": lambda v: tiff(v[..., :3], 2, order=">"),
        "packed tiff": lambda v: tiff(v[..., :3], 2, packed=True),
        "float": lambda v: encoded(Image.fromarray((v[..., 0] / np.float32(65535)).astype(np.float32)), "TIFF"),
        "int": lambda v: encoded(Image.fromarray(v[..., 0].astype(np.int32)), "TIFF"),
    }[maker]
    values = np.repeat(grey()[..., None] * 251, 4, axis=-1)
    other = values.copy()
    other[20, 30] ^= 1
    one, same, differs = (facts_of(tmp_path, wide(v)) for v in (values, values.copy(), other))
    assert one.fault == "" and one.pixel_id == same.pixel_id != differs.pixel_id
    assert one.near_hash == differs.near_hash


@pytest.mark.parametrize("num_channels", [1, 3, 4])
def test_what_eight_bits_hold_equals_the_same_picture_in_eight_bits(tmp_path: Path, num_channels: int) -> None:
    image = picture().convert({1: "L", 3: "RGB", 4: "RGBA"}[num_channels])
    if num_channels == 4:
        image.putalpha(picture(seed=1).convert("L"))
    plain = facts_of(tmp_path, encoded(image, "PNG"))
    values = np.asarray(image).astype(np.uint16).reshape(64, 96, num_channels) * 257
    assert facts_of(tmp_path, png16(values)).pixel_id == plain.pixel_id
    if num_channels == 1:
        assert facts_of(tmp_path, png16(values // 257)).pixel_id == plain.pixel_id
        floats = (values[..., 0] / 257 / 255).astype(np.float32)
        assert facts_of(tmp_path, encoded(Image.fromarray(floats), "TIFF")).pixel_id == plain.pixel_id


def test_sixteen_bit_colours_of_a_low_range_are_seen(tmp_path: Path) -> None:
    rgb = np.asarray(picture()).astype(np.uint16)
    for data in (png16(rgb), tiff(rgb, 2), tiff(rgb, 2, order=">", packed=True)):
        facts = facts_of(tmp_path, data)
        assert facts.pixel_id == facts_of(tmp_path, encoded(picture(), "PNG")).pixel_id
        assert facts.notes == "16-bit values: 0 to 255 shown as black to white"


def test_grey_with_alpha_of_sixteen_bits_is_told_by_its_bytes(tmp_path: Path) -> None:
    values = np.stack([grey() * 250, np.full((64, 96), 65535, np.uint16)], axis=-1)
    other = values.copy()
    other[3, 3, 0] ^= 1
    one, differs = facts_of(tmp_path, png16(values)), facts_of(tmp_path, png16(other))
    assert one.fault == "" and one.pixel_id != differs.pixel_id and "8 bits" in one.notes


def test_no_number_and_infinity_count_as_nothing(tmp_path: Path) -> None:
    values = np.full((64, 96), 0.5, np.float32)
    values[:8, :8], values[8:16, :8] = np.nan, np.inf
    data = encoded(Image.fromarray(values), "TIFF")
    assert facts_of(tmp_path, data).notes == "float values: 0 to 1 shown as black to white"
    assert shown(tmp_path, data)[0, 0] == 0 and shown(tmp_path, data)[60, 60] == 128


def test_a_black_picture_stays_black(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3, (64, 96), dtype=np.uint16)
    assert shown(tmp_path, png16(values[..., None])).max() <= 3


def test_pieces_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [png16(np.repeat(grey()[..., None] * 200, n, axis=-1)) for n in (1, 3, 4)]
    files += [encoded(picture().convert(mode), "PNG") for mode in ("L", "RGB")]
    whole = [facts_of(tmp_path, data) for data in files]
    monkeypatch.setattr(wide_pixels, "_STRIP_PIXELS", 1000)
    assert [facts_of(tmp_path, data) for data in files] == whole
