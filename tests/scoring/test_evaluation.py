"""Figures of a classifier against ones worked out by hand, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from cleaner.scoring.evaluation import class_recalls, find_confusions, precision_recall, size_groups


def test_thirds_of_the_classes_by_size() -> None:
    groups = size_groups(np.array([5, 100, 20, 60, 10, 7]))
    assert groups.tolist() == ["tail", "head", "medium", "head", "medium", "tail"]
    assert size_groups(np.array([3])).tolist() == ["head"]


def test_recalls_by_class_and_none_where_nothing_is_to_be_found() -> None:
    recalls = class_recalls(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 3)
    assert recalls[:2] == pytest.approx([2 / 3, 1.0]) and np.isnan(recalls[2])


def test_the_envelope_is_the_highest_precision_to_the_right() -> None:
    curve = precision_recall(np.array([1, 0, 1, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.6, 0.5]), 4)
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert curve.recall == pytest.approx([0.25, 0.25, 0.5, 0.75, 0.75])
    assert curve.envelope == pytest.approx([1, 3 / 4, 3 / 4, 3 / 4, 3 / 5])
    assert curve.average_precision == pytest.approx(0.25 * 1 + 0.5 * 0.75)


def test_precision_and_recall_are_those_of_scikit_learn_where_confidences_repeat() -> None:
    rng = np.random.default_rng(0)
    correct, confidence = rng.random(200) < 0.6, rng.integers(0, 20, 200) / 20
    curve = precision_recall(correct, confidence, int(correct.sum()))
    precision, recall, thresholds = precision_recall_curve(correct, confidence)
    assert np.allclose(curve.threshold, thresholds[::-1])
    assert np.allclose(curve.precision, precision[:-1][::-1]) and np.allclose(curve.recall, recall[:-1][::-1])
    assert (np.diff(curve.envelope) <= 0).all() and (curve.envelope >= curve.precision).all()


def test_nothing_predicted_or_nothing_to_find_is_an_empty_curve() -> None:
    for curve in (
        precision_recall(np.zeros(0, bool), np.zeros(0), 3),
        precision_recall(np.zeros(2, bool), np.array([0.5, 0.4]), 0),
    ):
        assert curve.average_precision == 0.0 and len(curve.recall) == 0


def test_confusions_by_frequency() -> None:
    targets, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([1, 1, 0, 2, 0, 2])
    assert find_confusions(targets, predicted, 3, 2) == [(0, 1, 2), (1, 2, 1)]
