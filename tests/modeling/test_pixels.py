"""Pixels that are decoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cleaner.modeling.pixels import load_pixels
from cleaner.progress import Silent
from tests.support.networks import NUM, SIDE


def test_pixels_are_decoded_once_and_a_damaged_shard_anew(
    drawn: tuple[list[str], list[Path], np.ndarray], tmp_path: Path
) -> None:
    ids, paths, _ = drawn
    first = load_pixels(ids, paths, SIDE, tmp_path, workers=2, progress=Silent())
    assert np.array_equal(first.take(np.array([5]))[0], np.array(Image.open(paths[5])))
    nowhere = [tmp_path / "gone"] * 3
    again = load_pixels([ids[7], ids[0], ids[7]], nowhere, SIDE, tmp_path, workers=1, progress=Silent())
    assert np.array_equal(again.take(np.arange(3)), first.take(np.array([7, 0, 7])))
    (shard,) = (tmp_path / "pixels").rglob("*.npy")
    cut = shard.read_bytes()[:1000]
    shard.unlink()  # the file that is mapped stays as it is
    shard.write_bytes(cut)
    third = load_pixels(ids, paths, SIDE, tmp_path, workers=1, progress=Silent())
    assert np.array_equal(third.take(np.arange(NUM)), first.take(np.arange(NUM)))
