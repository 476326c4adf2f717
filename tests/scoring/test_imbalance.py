"""Upsampling and priors."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.imbalance import compute_priors, compute_repeats, compute_target


@pytest.mark.parametrize("largest", [*range(100), 3_000_000, 3_000_001])
def test_the_target_is_a_third_rounded_up(largest: int) -> None:
    assert compute_target(largest, 1 / 3) == -(-largest // 3)
    assert compute_target(largest, 1.0) == largest and compute_target(largest, 0.0) == 0


def test_repeats_reach_the_target_and_differ_by_one_at_most() -> None:
    sizes = [100, 40, 33, 10, 7, 1]
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(6), sizes))
    repeats = compute_repeats(targets, 7, 1 / 3, 20, np.random.default_rng(1))
    sums = np.bincount(targets, weights=repeats, minlength=7)
    assert sums.tolist() == [100, 40, 34, 34, 34, 20, 0]  # ceil(100 / 3) = 34; one image cannot stand for more than 20
    for k in range(6):
        assert np.ptp(repeats[targets == k]) <= 1
    assert repeats.min() == 1 and repeats.max() == 20 and repeats.dtype == np.int32
    assert np.array_equal(repeats, compute_repeats(targets, 7, 1 / 3, 20, np.random.default_rng(1)))
    assert not np.array_equal(repeats, compute_repeats(targets, 7, 1 / 3, 20, np.random.default_rng(2)))


def test_priors_are_shares() -> None:
    assert compute_priors(np.array([1, 3, 4])).tolist() == [0.125, 0.375, 0.5]
