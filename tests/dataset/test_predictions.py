"""Predictions that people bring: what is checked, and that the error names the place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cleaner.dataset.predictions import read_predictions
from cleaner.errors import BadInputError

NAMES = [f"c/{i}.jpg" for i in range(6)]
CLASSES = ["a", "b", "c"]


def write(folder: Path, probs: np.ndarray, ids: list[str]) -> tuple[Path, Path]:
    np.save(folder / "p.npy", probs)
    (folder / "ids.txt").write_text("\n".join(ids) + "\n")
    return folder / "p.npy", folder / "ids.txt"


def good(num: int = 6) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(3), num).astype(np.float32)


def test_rows_and_columns_find_their_place(tmp_path: Path) -> None:
    probs = good()
    files = write(tmp_path, probs[::-1], NAMES[::-1])
    # a class that only people named has no column
    brought = read_predictions(*files, NAMES[1:4], NAMES, ["a", "aa", "b", "c"], CLASSES)
    (part, values), *rest = list(brought.predict(np.array([2, 0])))
    assert part == slice(0, 2) and not rest
    assert np.array_equal(values[:, [0, 2, 3]], probs[[3, 1]]) and (values[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, i: (p[:5], i), ["shape", "(6, 3)", "(5, 3)"]),
        (lambda p, i: (p[:, :2], i), ["shape", "3 classes"]),
        (lambda p, i: (p * np.array([[1], [1], [2], [1], [1], [1]]), i), ["row 2", "c/2.jpg", "softmax"]),
        (lambda p, i: (np.where(np.arange(6)[:, None] == 4, np.nan, p), i), ["row 4", "c/4.jpg"]),
        (lambda p, i: (p - np.array([0.5, -0.25, -0.25]), i), ["holds no probabilities"]),
        (lambda p, i: ((p * 100).astype(np.int64), i), ["floating-point"]),
        (lambda p, i: (p, [*i[:5], "z/9.jpg"]), ["line 6", "z/9.jpg", "not in the manifest"]),
        (lambda p, i: (p, [*i[:5], i[0]]), ["line 6", "twice"]),
        (lambda p, i: (p[:5], i[:5]), ["no prediction", "c/5.jpg"]),
    ],
)
def test_bad_predictions_are_named(tmp_path: Path, change: object, words: list[str]) -> None:
    files = write(tmp_path, *change(good(), NAMES))  # type: ignore[operator]
    with pytest.raises(BadInputError) as error:
        read_predictions(*files, NAMES, NAMES, CLASSES, CLASSES)
    text = str(error.value)
    assert all(word in text for word in words), text


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    probs, ids = write(tmp_path, good(), NAMES)
    with pytest.raises(BadInputError, match="no such file"):
        read_predictions(tmp_path / "nothing.npy", ids, NAMES, NAMES, CLASSES, CLASSES)
    probs.write_bytes(b"no array")
    with pytest.raises(BadInputError, match="cannot be read as an array"):
        read_predictions(probs, ids, NAMES, NAMES, CLASSES, CLASSES)
