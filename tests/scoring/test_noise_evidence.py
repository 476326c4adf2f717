"""Evidence that needs no seeds: ranks, default weights, the share of noise."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.noise_evidence import (
    DEFAULT_WEIGHTS,
    EVIDENCE,
    REASONS,
    default_log_odds,
    estimate_share,
    rank_evidence,
    strongest_default,
    to_probability,
)


def test_ranks_know_no_unit_and_leave_out_what_is_unknown() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(500, 2))
    values[::5, 1] = np.nan
    ranks = rank_evidence(values.T, values.shape)
    assert np.allclose(ranks, rank_evidence((np.log(values) * 7 - 3).T, values.shape), atol=1e-6)
    assert (ranks[::5, 1] == 0).all() and ranks[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert ranks[:, 0].std() == pytest.approx(1, abs=0.02)
    assert (np.argsort(ranks[:, 0]) == np.argsort(values[:, 0])).all()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_the_share_of_noise_is_recovered_from_log_odds(share: float) -> None:
    rng = np.random.default_rng(0)
    is_noise = rng.random(20_000) < share
    x = rng.normal(np.where(is_noise, 3.0, 0.0), 1.0)
    log_odds = 3.0 * x - 4.5  # of two normal distributions three standard deviations apart
    found = estimate_share(log_odds)
    assert found == pytest.approx(share, rel=0.1)
    probs = to_probability(log_odds, found)
    assert is_noise[probs > 0.9].mean() == pytest.approx(probs[probs > 0.9].mean(), abs=0.06)


def test_no_noise_is_found_where_there_is_none() -> None:
    log_odds = 3.0 * np.random.default_rng(0).normal(size=20_000) - 4.5
    assert estimate_share(log_odds) < 0.001


def test_default_weights_speak_against_what_fits_its_class_and_its_neighbours() -> None:
    weight = dict(zip(EVIDENCE, DEFAULT_WEIGHTS, strict=True))
    assert all(weight[name] < 0 for name in ("own_fit", "best_fit", "neighbour_agreement", "information"))
    ranks = np.zeros((2, len(EVIDENCE)), np.float32)
    ranks[1, EVIDENCE.index("neighbour_agreement")] = -2
    assert np.diff(default_log_odds(ranks)) > 0


def test_every_reason_has_words_and_the_strongest_default_is_the_one_that_adds_most() -> None:
    assert list(REASONS) == ["content", "style", *EVIDENCE]
    ranks = np.zeros((2, len(EVIDENCE)), np.float32)
    ranks[0, EVIDENCE.index("own_fit")], ranks[1, EVIDENCE.index("num_pixels")] = -2, 3
    assert strongest_default(ranks).tolist() == ["own_fit", "num_pixels"]
