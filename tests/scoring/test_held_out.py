"""Whole rows of probabilities reduced to ranks, confidences and the most probable other classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cleaner.scoring.held_out import HeldOut, find_largest, predict_held_out

PROBS = np.array([[0.1, 0.6, 0.3, 0.0], [0.25, 0.25, 0.25, 0.25], [0.4, 0.4, 0.1, 0.1]], np.float32)


class Rows:
    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for i, row in enumerate(rows):
            yield slice(i, i + 1), PROBS[[row]]


def test_ranks_are_unique_and_others_fall() -> None:
    given = np.array([2, 3, 0])
    found = predict_held_out(Rows(), HeldOut(np.arange(3), given, np.array([True, True, True, True]), 2))
    assert found.given_rank.tolist() == [1, 3, 0] and found.predicted.tolist() == [1, 0, 0]
    assert found.self_confidence.tolist() == PROBS[np.arange(3), given].tolist()
    assert found.others[0].tolist() == [1, 0] and found.others[2, 0] == 1
    assert found.others_confidence[0].tolist() == PROBS[0, [1, 0]].tolist()
    assert PROBS[0, 2] == np.float32(0.3), "what a model hands over is left as it is"


def test_a_class_that_was_not_learned_has_no_score() -> None:
    scorable = np.array([True, True, False, True])
    found = predict_held_out(Rows(), HeldOut(np.array([0]), np.array([2]), scorable, 9))
    assert found.given_rank.tolist() == [-1] and np.isnan(found.self_confidence[0]) and found.others.shape == (1, 3)


def test_the_largest_are_those_of_a_whole_sort() -> None:
    values = np.random.default_rng(0).random((50, 40)).astype(np.float32)
    columns, found = find_largest(values, 7)
    assert np.array_equal(columns, np.argsort(-values, axis=1)[:, :7])
    assert np.array_equal(found, np.take_along_axis(values, columns, 1))
