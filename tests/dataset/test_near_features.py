"""Hashes of orientations, and keypoints."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cleaner.dataset.near_features import MAX_KEYPOINTS, PLACE_UNIT, TURNS, find_keypoints, perceptual_hashes
from tests.support.alike import photo


@pytest.mark.parametrize("number", range(7))
def test_a_hash_of_each_orientation(number: int) -> None:
    image, turn = photo(number, 120, 90), TURNS[number]
    turned = image if turn is None else image.transpose(turn)
    bits = [np.unpackbits(perceptual_hashes(one), axis=1) for one in (image, turned)]
    assert (bits[0][number] != bits[1][0]).sum() <= 4
    others = [(bits[0][k] != bits[1][0]).sum() for k in range(7) if k != number]
    assert min(others) > 20


def test_flat_areas_have_no_steps() -> None:
    assert not np.unpackbits(perceptual_hashes(Image.new("RGB", (50, 40), (90, 91, 92))), axis=1)[:, 64:].any()


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
