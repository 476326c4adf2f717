"""Curves of the noise probability."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.report.noise_curves import (
    at_threshold,
    compute_average_precision,
    compute_precision_recall,
    compute_reliability,
    seed_weights,
)


def test_average_precision_takes_the_best_precision_to_the_right() -> None:
    prob = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    truth = np.array([True, False, True, True, False])
    curve = compute_precision_recall(prob, truth, np.ones(5))
    np.testing.assert_allclose(curve[:, 1], [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(curve[:, 2], [1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert compute_average_precision(curve) == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    assert at_threshold(prob, truth, np.ones(5), 0.65) == pytest.approx((2 / 3, 2 / 3))
    assert np.isnan(at_threshold(prob, truth, np.ones(5), 0.95)[0])


def test_equal_probabilities_are_one_point() -> None:
    curve = compute_precision_recall(np.array([0.5, 0.5, 0.5]), np.array([True, False, False]), np.ones(3))
    np.testing.assert_allclose(curve, [[0.5, 1 / 3, 1]])


def test_seeds_count_at_the_share_of_noise_in_the_set() -> None:
    truth = np.arange(100) < 50
    weights = seed_weights(truth, 0.1)
    assert weights[truth].sum() / weights.sum() == pytest.approx(0.1)
    prob = np.where(truth, 0.95, 0.05)
    prob[50:60] = 0.95  # a fifth of the normal ones
    precision, recall = at_threshold(prob, truth, weights, 0.9)
    assert (precision, recall) == pytest.approx((0.1 / (0.1 + 0.2 * 0.9), 1.0))
    bins = compute_reliability(prob, truth, weights)
    np.testing.assert_allclose(bins[:, 2], [40, 60])
    np.testing.assert_allclose(bins[:, 0], [0.05, 0.95])
    assert bins[1, 1] == pytest.approx(precision)
