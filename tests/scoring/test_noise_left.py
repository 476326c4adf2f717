"""What is likely left: a model that is shown to miss noise is not believed."""

from __future__ import annotations

import numpy as np

from cleaner.scoring.noise_left import NUM_RECENT, estimate_share_left


def estimate(noise_prob: np.ndarray, num_looks: int, is_noise: np.ndarray) -> float | None:
    looked_at = np.arange(num_looks)
    is_answered = np.arange(len(noise_prob)) < num_looks
    is_dropped = (is_answered & is_noise) | (~is_answered & (noise_prob > 0.9))
    return estimate_share_left(noise_prob, is_answered, looked_at, is_noise & is_answered, is_dropped, 0.9)


def test_there_is_none_before_three_pages_of_looks() -> None:
    prob, none = np.full(1000, 0.01), np.zeros(1000, bool)
    assert estimate(prob, NUM_RECENT - 1, none) is None
    assert estimate(prob, NUM_RECENT, none) is not None


def test_noise_that_the_model_expects_counts_by_its_probability() -> None:
    prob = np.zeros(1000)
    prob[100:140], prob[140:150] = 0.5, 0.95  # the last ten are dropped
    assert estimate(prob, 100, np.zeros(1000, bool)) == 20 / 990


def test_noise_that_the_last_looks_found_against_the_model_is_expected_again() -> None:
    prob, is_noise = np.zeros(1000), np.zeros(1000, bool)
    is_noise[80:100] = True
    assert estimate(prob, 100, is_noise) == 20 / 980
    prob[80:90] = 0.99  # the model, held out, knew these
    assert estimate(prob, 100, is_noise) == 10 / 980
    assert estimate(prob, 100 + NUM_RECENT, is_noise) == 0  # and since then nothing was found
