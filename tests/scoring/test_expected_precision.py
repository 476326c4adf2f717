"""What is dropped of what looks wrong, by the share of it that is expected to be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.expected_precision import TrustedDrops, choose_drops


def choose(*classes: tuple[int, list[float]]) -> TrustedDrops:
    """Each class: its images, and the probabilities of its candidates, which come first."""
    targets = np.repeat(np.arange(len(classes)), [num for num, _ in classes])
    prob = np.concatenate([[*probs, *[0.01] * (num - len(probs))] for num, probs in classes]).astype(np.float32)
    candidates = np.concatenate([np.arange(num) < len(probs) for num, probs in classes])
    return choose_drops(prob, candidates, targets, len(classes))


def dropped(found: TrustedDrops, *classes: tuple[int, list[float]]) -> list[int]:
    targets = np.repeat(np.arange(len(classes)), [num for num, _ in classes])
    return np.bincount(targets[found.drops], minlength=len(classes)).tolist()


def test_up_to_a_third_of_a_class_goes_and_more_where_it_is_surely_wrong() -> None:
    classes = (30, [0.95] * 20), (30, [0.85] * 12), (30, [0.85] * 10), (30, [0.98] * 12 + [0.5] * 3)
    found = choose(*classes)
    # 0.9 of the last class: twelve of .98 and two of .5 have a mean of .911, with the third .884
    assert dropped(found, *classes) == [20, 10, 10, 14]
    assert found.reduced.tolist() == [False, True, False, True] and not found.untouched.any()
    assert found.precision == pytest.approx((19 + 0.85 * 22 + 0.98 * 12 + 1.5) / 57)


def test_the_most_probable_of_a_class_go_first() -> None:
    prob = np.array([0.7, 0.99, 0.75, 0.98, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32)
    candidates = prob > 0.5
    found = choose_drops(prob, candidates, np.zeros(9, np.int64), 1)
    assert np.flatnonzero(found.drops).tolist() == [1, 2, 3]


def test_what_is_likelier_right_than_promised_goes_to_people() -> None:
    uncertain = (100, [0.55] * 10)
    classes = uncertain, (100, [0.95] * 10)
    found = choose(*classes)
    assert dropped(found, *classes) == [0, 10] and found.untouched.tolist() == [True, False]
    assert not choose(uncertain, (100, [0.62] * 5)).drops.any(), "0.573 for the whole list"


def test_classes_that_the_model_does_not_know_lose_nothing() -> None:
    classes = (12, [0.99] * 8), (4, [0.99]), (12, [0.99] * 7)
    found = choose(*classes)
    assert dropped(found, *classes) == [0, 0, 7] and found.untouched.tolist() == [True, True, False]


def test_nothing_to_drop() -> None:
    found = choose((10, []), (0, []))
    assert not found.drops.any() and np.isnan(found.precision) and not (found.untouched | found.reduced).any()
