"""Predictions that people bring: what is checked, and that the error names the place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cleaner.dataset.predictions import BroughtPredictions, JudgedImages, read_predictions
from cleaner.errors import BadInputError

NAMES = [f"c/{i}.jpg" for i in range(6)]
CLASSES = ["a", "b", "c"]


def write(folder: Path, probs: np.ndarray, ids: list[str], name: str = "") -> tuple[Path, Path]:
    np.save(folder / f"p{name}.npy", probs)
    (folder / f"ids{name}.txt").write_text("\n".join(ids) + "\n")
    return folder / f"p{name}.npy", folder / f"ids{name}.txt"


def good(num: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), num).astype(np.float32)


def read(
    probs: list[Path], ids: list[Path], names: list[str] = NAMES, classes: list[str] = CLASSES
) -> BroughtPredictions:
    return read_predictions(
        probs, ids, JudgedImages(file_names=names, known_names=NAMES, classes=classes, learned=CLASSES)
    )


def values_of(brought: BroughtPredictions, rows: list[int]) -> np.ndarray:
    ((part, values),) = brought.predict(np.array(rows))
    assert part == slice(0, len(rows))
    return values


def test_rows_and_columns_find_their_place(tmp_path: Path) -> None:
    probs = good()
    file, ids = write(tmp_path, probs[::-1], NAMES[::-1])
    # a class that only people named has no column
    values = values_of(read([file], [ids], NAMES[1:4], ["a", "aa", "b", "c"]), [2, 0])
    assert np.array_equal(values[:, [0, 2, 3]], probs[[3, 1]]) and (values[:, 1] == 0).all()


def test_several_models_are_averaged_image_by_image(tmp_path: Path) -> None:
    one, two = good(seed=1), good(seed=2)
    (file, ids), (other, its_ids) = write(tmp_path, one, NAMES), write(tmp_path, two[::-1], NAMES[::-1], "2")
    values = values_of(read([file, other], [ids, its_ids]), [0, 1, 5])
    assert values == pytest.approx((one + two)[[0, 1, 5]] / 2, abs=1e-6)
    np.save(other, two)
    shared = values_of(read([file, other, file], [ids]), [4])
    assert shared == pytest.approx((2 * one + two)[[4]] / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("probs", "ids", "words"),
    [
        (good()[:5], NAMES[:5], ["ids2.txt", "no prediction", "c/5.jpg"]),
        (good(5), [*NAMES[:4], NAMES[5]], ["ids2.txt", "other images than", "c/4.jpg"]),
        (good()[:, :2] / good()[:, :2].sum(1, keepdims=True), NAMES, ["p2.npy", "shape", "(6, 3)", "(6, 2)"]),
    ],
)
def test_a_second_model_must_know_the_same_images_and_classes(
    tmp_path: Path, probs: np.ndarray, ids: list[str], words: list[str]
) -> None:
    file, its_ids = write(tmp_path, good(), NAMES)
    other, other_ids = write(tmp_path, probs, ids, "2")
    judged = NAMES[:4] if "other images than" in words else NAMES
    with pytest.raises(BadInputError) as error:
        read([file, other], [its_ids, other_ids], judged)
    assert error.value.exit_code == 3 and all(word in str(error.value) for word in words), str(error.value)


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
    file, ids = write(tmp_path, *change(good(), NAMES))  # type: ignore[operator]
    with pytest.raises(BadInputError) as error:
        read([file], [ids])
    text = str(error.value)
    assert all(word in text for word in words), text


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    probs, ids = write(tmp_path, good(), NAMES)
    with pytest.raises(BadInputError, match="no such array"):
        read([tmp_path / "nothing.npy"], [ids])
    probs.write_bytes(b"no array")
    with pytest.raises(BadInputError, match="not a readable array"):
        read([probs], [ids])
