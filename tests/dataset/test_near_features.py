"""Hashes of orientations, and keypoints."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.near_features import (
    MAX_KEYPOINTS,
    NUM_COLOURS,
    NUM_TURNS,
    PLACE_UNIT,
    TURNS,
    find_keypoints,
    perceptual_hashes,
)
from tests.support.alike import jpeg, photo


@pytest.mark.parametrize("number", range(7))
def test_a_hash_of_each_orientation(number: int) -> None:
    image, turn = photo(number, 120, 90), TURNS[number]
    turned = image if turn is None else image.transpose(turn)
    bits = [np.unpackbits(perceptual_hashes(one)[:NUM_TURNS], axis=1) for one in (image, turned)]
    assert (bits[0][number] != bits[1][0]).sum() <= 4
    others = [(bits[0][k] != bits[1][0]).sum() for k in range(7) if k != number]
    assert min(others) > 20


def test_flat_areas_have_no_steps() -> None:
    hashes = perceptual_hashes(Image.new("RGB", (50, 40), (90, 91, 92)))[:NUM_TURNS]
    assert not np.unpackbits(hashes, axis=1)[:, 64:].any()


def colours(image: Image.Image) -> list[int]:
    found: list[int] = perceptual_hashes(image)[NUM_TURNS, :NUM_COLOURS].astype(int).tolist()
    return found


def test_colours_are_means_and_spreads_however_a_picture_is_turned() -> None:
    half = Image.new("RGB", (200, 120), (10, 200, 60))
    half.paste((90, 200, 40), (0, 0, 100, 120))
    assert np.abs(np.subtract(colours(half), [50, 200, 50, 80, 0, 20])).max() <= 3
    image = photo(2)
    for turn in TURNS[1:]:
        assert np.abs(np.subtract(colours(image.transpose(turn)), colours(image))).max() <= 2
    assert np.abs(np.subtract(colours(jpeg(image, 40)), colours(image))).max() <= 4
    assert colours(image.convert("L"))[0] == colours(image.convert("L"))[2]


def test_a_part_has_the_keypoints_of_its_place() -> None:
    whole = photo(3, 320, 240)
    box = (40, 30, 296, 222)  # 12.5, 7.5 % and 12.5, 7.5 % cut off
    part = whole.crop(box)
    ours, theirs = find_keypoints(whole.convert("L")), find_keypoints(part.convert("L"))
    assert 8 <= len(ours) <= MAX_KEYPOINTS and 8 <= len(theirs) <= MAX_KEYPOINTS
    at = ours["place"][:, :2] / PLACE_UNIT * (320 * 240) ** 0.5 - (box[0], box[1])
    own = theirs["place"][:, :2] / PLACE_UNIT * (256 * 192) ** 0.5
    agreeing = 0
    for point, code in zip(own, theirs["code"], strict=True):
        near = np.linalg.norm(at - point, axis=1) < 6
        bits = [bin(int(code) ^ int(other)).count("1") for other in ours["code"][near]]
        agreeing += min(bits, default=32) <= 5
    assert agreeing >= len(theirs) / 3


def test_plain_and_tiny_pictures_have_no_keypoints() -> None:
    for image in (Image.new("L", (80, 60), 130), Image.new("L", (1, 1)), Image.new("L", (1, 400), 3)):
        assert len(find_keypoints(image)) == 0
