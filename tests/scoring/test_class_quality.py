"""Coherent classes and jumbles."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.class_quality import (
    compute_coherence,
    compute_coherence_p,
    compute_rank_p,
    draw_coherences,
    judge_low_count,
)


def units(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_coherence_is_the_mean_cosine_over_pairs() -> None:
    x = units(np.random.default_rng(0).normal(size=(12, 8)))
    pairs = (x @ x.T)[np.triu_indices(12, 1)]
    assert compute_coherence(x) == pytest.approx(pairs.mean())
    assert np.isnan(compute_coherence(x[:1]))


def test_p_is_uniform_for_random_draws_and_small_for_a_class() -> None:
    rng = np.random.default_rng(0)
    pool = units(np.repeat(rng.normal(size=(20, 16)), 50, 0) + rng.normal(size=(1000, 16)))
    null = draw_coherences(pool, 15, rng)
    under_null = [compute_coherence_p(pool[rng.choice(1000, 15, replace=False)], null) for _ in range(400)]
    for share in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(np.array(under_null) <= share) == pytest.approx(share, abs=0.08)
    assert compute_coherence_p(pool[:15], null) == 0.001  # of one class: beyond all 999 draws
    assert np.isnan(compute_coherence_p(pool[:2], null))


def test_the_rank_test_tells_badly_recognised_classes() -> None:
    rng = np.random.default_rng(0)
    pool = rng.random(1000) < 0.9
    assert compute_rank_p(np.arange(20) < 8, pool, rng) <= 0.01
    assert compute_rank_p(np.ones(20, bool), pool, rng) > 0.5
    assert np.isnan(compute_rank_p(np.zeros(0, bool), pool, rng))


def test_the_judgement_of_small_classes() -> None:
    nan = float("nan")
    assert judge_low_count(0.001, 0.9, 0.4, 10) == judge_low_count(0.001, 0.001, 0.4, 10) == "keep"
    assert judge_low_count(0.4, 0.001, 0.4, 10) == judge_low_count(0.4, nan, nan, 10) == "drop"
    assert judge_low_count(0.4, 0.6, 0.4, 10) == judge_low_count(0.03, 0.001, 0.4, 10) == "review"
    assert judge_low_count(nan, 0.001, 0.4, 10) == "review"
    # a sound class that wrong labels were strewn into
    assert judge_low_count(0.4, 0.001, 0.001, 10) == "review"
    # too few images to tell
    assert judge_low_count(0.4, 0.001, 0.4, 9) == "review" and judge_low_count(0.001, 0.9, 0.4, 3) == "keep"
