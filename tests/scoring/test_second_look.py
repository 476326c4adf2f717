"""The second look: copies against pictures that only look alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from cleaner.scoring.second_look import compare
from tests.support.alike import chest, cut, jpeg, photo, product

WHOLE = np.array([0.0, 0.0, 1.0, 1.0])


def marked(image: Image.Image) -> Image.Image:
    image = image.copy()
    width, height = image.size
    ImageDraw.Draw(image).rectangle((0.55 * width, 0.88 * height, 0.8 * width, 0.96 * height), fill=(255, 255, 255))
    return image


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width * 5 // 8, image.height * 5 // 8), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((image.width * 4 // 3, image.height * 4 // 3), Image.Resampling.BICUBIC),
    "compressed": lambda image: jpeg(image, 45),
    "lighter": lambda image: ImageEnhance.Brightness(image).enhance(0.93),
    "cut": lambda image: cut(image, 0.02, 0.03, 0.01, 0.025),
    "marked": marked,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("make", [photo, chest], ids=["photo", "chest"])
def test_copies_are_copies(kind: str, make: Callable[[int], Image.Image]) -> None:
    image = make(11)
    assert compare(image, COPIES[kind](image), WHOLE).is_copy


@pytest.mark.parametrize("kind", ["smaller", "compressed", "lighter", "cut"])
def test_copies_of_a_thing_on_white_are_copies(kind: str) -> None:
    image = product((170, 60, 40))
    assert compare(image, COPIES[kind](image), WHOLE).is_copy


def test_alike_pictures_are_no_copies() -> None:
    assert not compare(photo(1), photo(2), WHOLE).is_copy
    for seed in range(20, 26):
        assert not compare(chest(seed), chest(seed + 50), WHOLE).is_copy
    assert not compare(product((170, 60, 40)), product((170, 60, 40), wide=38), WHOLE).is_copy


def test_another_colour_is_another_thing() -> None:
    assert not compare(product((170, 60, 40)), product((40, 60, 170)), WHOLE).is_copy
    assert not compare(product((90, 90, 90)), product((125, 90, 80)), WHOLE).is_copy


def badge(sign: int) -> Image.Image:
    """One badge for all, with a star of its own."""
    page = Image.new("RGB", (220, 220), (236, 239, 241))
    draw, rng = ImageDraw.Draw(page), np.random.default_rng(sign)
    draw.rounded_rectangle((35, 35, 185, 185), 30, fill=(21, 101, 192))
    (x, y), angles = rng.uniform(85, 135, 2), np.linspace(0, 2 * np.pi, 11)[:10] + rng.uniform(0, 1)
    reach = np.where(np.arange(10) % 2, 12, 34)
    corners = [(x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)]
    draw.polygon(corners, fill="white")
    return page.filter(ImageFilter.GaussianBlur(0.6))


def test_another_sign_on_the_same_badge_is_another_thing() -> None:
    for sign in range(0, 12, 2):
        assert not compare(badge(sign), badge(sign + 1), WHOLE).is_copy
        assert compare(badge(sign), jpeg(badge(sign), 50), WHOLE).is_copy


@pytest.mark.parametrize("colour", [(170, 74, 40), (158, 60, 52), (170, 60, 54)])
def test_a_little_other_colour_is_another_thing_on_white(colour: tuple[int, int, int]) -> None:
    assert not compare(product((170, 60, 40)), product(colour), WHOLE).is_copy
    for quality in (40, 60, 85):
        assert compare(product((170, 60, 40)), jpeg(product((170, 60, 40)), quality), WHOLE).is_copy


def test_compression_may_change_the_colours_of_a_busy_picture_as_much() -> None:
    image = photo(8, 64, 48)
    for quality in (40, 55):
        assert compare(image, jpeg(image, quality), WHOLE).is_copy


def test_the_frame_of_a_part_is_found() -> None:
    image = photo(5, 300, 200)
    part = jpeg(cut(image, 0.14, 0.05, 0.11, 0.15), 85)
    found = compare(image, part, np.array([0.11, 0.08, 0.92, 0.82]))
    assert found.is_copy and np.abs(np.subtract(found.frame, (0.14, 0.05, 0.89, 0.85))).max() < 0.01
    back = compare(part, image, np.array([-0.19, -0.06, 1.15, 1.19]))
    assert back.is_copy and min(back.frame) < -0.15 and max(back.frame) > 1.1


def test_a_whole_picture_may_be_squeezed_and_a_thing_on_white_may_not() -> None:
    image = photo(6, 240, 160)
    assert compare(image, image.resize((160, 160)), WHOLE).is_copy
    assert not compare(product((170, 60, 40)), product((170, 60, 40), wide=52), WHOLE).is_copy


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (400, 2), (20, 20)])
def test_any_size_can_be_compared(size: tuple[int, int]) -> None:
    assert compare(photo(1).resize(size), photo(1).resize(size), WHOLE).is_copy
    compare(photo(1).resize(size), photo(2), WHOLE)
