"""From scores to probabilities of noise, against planted mixtures."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.noise_posterior import compute_noise_posterior


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.4])
def test_the_share_of_noise_is_recovered_from_scores(share: float) -> None:
    rng = np.random.default_rng(0)
    num = 40_000
    is_noise = rng.random(num) < share
    scores = np.where(is_noise, rng.normal(6.0, 1.5, num), rng.standard_t(15, num))
    noise_seeds, normal_seeds = np.zeros(num, bool), np.zeros(num, bool)
    noise_seeds[np.flatnonzero(is_noise)[:50]] = True
    normal_seeds[np.flatnonzero(~is_noise)[:150]] = True
    posterior = compute_noise_posterior(scores, noise_seeds, normal_seeds, np.ones(num, bool))
    assert posterior.prior == pytest.approx(share, rel=0.15)
    # a probability means what it says: of the images at about p, a share p is noise
    for low, high in ((0.0, 0.1), (0.3, 0.7), (0.9, 1.0)):
        band = (posterior.probs >= low) & (posterior.probs <= high) & ~noise_seeds & ~normal_seeds
        if band.sum() >= 100:
            assert is_noise[band].mean() == pytest.approx(posterior.probs[band].mean(), abs=0.15)


def test_probabilities_rise_with_the_score() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 900), rng.normal(8, 0.2, 100), np.linspace(-20, 40, 200)])
    seeds = np.zeros(1200, bool)
    seeds[900:930] = True
    posterior = compute_noise_posterior(scores, seeds, np.arange(1200) < 50, np.arange(1200) < 1000)
    order = np.argsort(scores)
    middle = scores[order] > np.median(scores)
    assert (np.diff(posterior.probs[order][middle]) >= -1e-6).all() and 0 < posterior.prior < 1


def test_a_long_tail_below_hides_no_noise_above() -> None:
    upper = np.abs(np.random.default_rng(0).normal(0, 1, 10_000))
    found = []
    for spread in (1, 4):
        below = -np.abs(np.random.default_rng(1).normal(0, spread, 10_000))
        scores = np.concatenate([upper, below, np.random.default_rng(2).normal(6, 1, 300)])
        seeds, none = np.arange(20_300) >= 20_270, np.zeros(20_300, bool)
        probs = compute_noise_posterior(scores, seeds, none, ~none).probs
        found.append((probs[20_000:] > 0.9).mean())
    assert found[1] >= 0.9 and found[1] == pytest.approx(found[0], abs=0.02)
