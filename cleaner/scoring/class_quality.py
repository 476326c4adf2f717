"""Tells coherent small classes from jumbled ones: permutation tests on embeddings and on out-of-fold ranks."""

from __future__ import annotations

import numpy as np

NUM_DRAWS = 999
_FEWEST_IMAGES = 3
_FEWEST_TO_DROP = 10
_COHERENT_P = 0.01
_JUMBLED_P = 0.05


def compute_coherence(units: np.ndarray) -> float:
    """Mean cosine over all pairs of n unit vectors (n, D), -1 .. 1; NaN for fewer than two."""
    num = len(units)
    if num < 2:
        return float("nan")
    total = units.sum(0, dtype=np.float64)
    return float((total @ total - num) / (num * (num - 1)))


def draw_coherences(pool: np.ndarray, size: int, rng: np.random.Generator, num_draws: int = NUM_DRAWS) -> np.ndarray:
    """Coherences (num_draws,) of random draws of `size` unit vectors, without replacement, from `pool` (N, D)."""
    return np.array([compute_coherence(pool[rng.choice(len(pool), size, replace=False)]) for _ in range(num_draws)])


def compute_coherence_p(units: np.ndarray, null: np.ndarray) -> float:
    """One-sided p-value that a class is no more coherent than random draws of its size (Phipson & Smyth 2010).

    `units` (n, D) of the class; `null` from `draw_coherences`. Small values: clearly coherent. NaN for fewer than
    three images.
    """
    if len(units) < _FEWEST_IMAGES:
        return float("nan")
    return float((1 + (null >= compute_coherence(units)).sum()) / (1 + len(null)))


def compute_rank_p(hits: np.ndarray, pool: np.ndarray, rng: np.random.Generator, num_draws: int = NUM_DRAWS) -> float:
    """One-sided p-value that a class's images are recognised no worse than random draws of its size.

    `hits` (n,) bool: whether the given label was the top out-of-fold prediction; `pool` (N,) bool: the same for all
    images. Small values: recognised clearly worse than others. NaN without images.
    """
    if not len(hits) or len(pool) < len(hits):
        return float("nan")
    # a draw without replacement: the number of hits is hypergeometric
    null = rng.hypergeometric(int(pool.sum()), int((~pool).sum()), len(hits), num_draws)
    return float((1 + (null <= hits.sum()).sum()) / (1 + num_draws))


def judge_low_count(coherence_p: float, rank_p: float, kept_coherence_p: float, num_images: int) -> str:
    """The action for a class under the minimum count, with `num_images` kept: keep, drop or review.

    A clearly coherent class is kept. A class is dropped as a jumble if neither all of its images nor those that the
    labels stage kept (`kept_coherence_p`) are more coherent than random draws and, if ranks are known, they are
    recognised worse. People review all other classes, and jumbles of fewer than ten images: too few to tell, and soon
    looked at.
    """
    if np.isnan(coherence_p):
        return "review"
    if coherence_p <= _COHERENT_P:
        return "keep"
    badly_recognised = np.isnan(rank_p) or rank_p <= _JUMBLED_P
    incoherent = coherence_p > _JUMBLED_P and not kept_coherence_p <= _COHERENT_P
    return "drop" if incoherent and badly_recognised and num_images >= _FEWEST_TO_DROP else "review"
