"""Crops found by their keypoints."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cleaner.dataset.near_features import KEYPOINT, find_keypoints
from cleaner.scoring.keypoint_matches import match_keypoints
from tests.support.alike import cut, jpeg, photo


def match(pictures: list[Image.Image], most: int = 8) -> np.ndarray:
    points = [find_keypoints(p.convert("L")) for p in pictures]
    owner = np.repeat(np.arange(len(points)), [len(p) for p in points])
    return match_keypoints(np.concatenate(points), owner, np.array([p.width / p.height for p in pictures]), most)


def test_a_part_is_found_with_its_frame() -> None:
    pictures = [photo(seed, 240, 180) for seed in range(12)]
    pictures.append(jpeg(cut(pictures[4], 0.12, 0.04, 0.08, 0.13), 80))
    pictures.append(cut(pictures[7], 0.0, 0.1, 0.15, 0.0))
    found = {(int(i), int(j)): frame for i, j, *frame in match(pictures)}
    assert set(found) == {(4, 12), (7, 13)}
    assert np.abs(np.subtract(found[4, 12], (0.12, 0.04, 0.92, 0.87))).max() < 0.06
    assert np.abs(np.subtract(found[7, 13], (0.0, 0.1, 0.85, 1.0))).max() < 0.06


def faint(seed: int) -> Image.Image:
    """A few soft things on a plain board."""
    rng = np.random.default_rng(seed)
    board = Image.new("RGB", (240, 180), (205, 200, 190))
    draw = ImageDraw.Draw(board)
    for x, y in rng.uniform(60, 120, (4, 2)) * (1.3, 0.8):
        size = rng.uniform(8, 20)
        draw.ellipse((x, y, x + size, y + size * rng.uniform(0.5, 1.5)), fill=tuple(rng.integers(180, 200, 3).tolist()))
    return board.filter(ImageFilter.GaussianBlur(3))


def test_two_keypoints_do_where_there_are_few() -> None:
    pictures = [faint(seed) for seed in range(20)]
    assert max(len(find_keypoints(p.convert("L"))) for p in pictures) < 24
    parts = [jpeg(cut(picture, 0.15, 0.15, 0.15, 0.15), 85) for picture in pictures]
    found = {(int(i), int(j)): frame for i, j, *frame in match([*pictures, *parts])}
    right = [
        np.abs(np.subtract(found[i, 20 + i], (0.15, 0.15, 0.85, 0.85))).max() for i in range(20) if (i, 20 + i) in found
    ]
    assert len(right) >= 15 and np.median(right) < 0.03
    assert sum(j - i != 20 for i, j in found) <= 40, "of 780 pairs"


def test_each_picture_has_no_more_pairs_than_asked() -> None:
    pictures = [jpeg(photo(1), quality) for quality in range(50, 90, 5)]
    found = match(pictures, 3)
    assert np.bincount(found[:, :2].astype(int).ravel()).max() <= 3 and len(found) >= 8


def test_words_that_many_share_tell_nothing() -> None:
    same = [photo(2)] * 70
    assert len(match(same)) == 0


def test_no_keypoints() -> None:
    for num in (0, 1, 2):
        empty = np.empty(0, dtype=KEYPOINT)
        assert match_keypoints(empty, np.empty(0, dtype=np.int64), np.ones(num), 8).shape == (0, 6)
    assert len(match([photo(1)])) == 0
