"""Is a small class one thing or a jumble? Permutation tests on embeddings and on out-of-fold ranks."""

from __future__ import annotations

import numpy as np

NUM_DRAWS = 999
_FEWEST_IMAGES = 3
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
    """One-sided p of a class being no more coherent than random draws of its size (Phipson & Smyth 2010).

    `units` (n, D) of the class; `null` from `draw_coherences`. Small: clearly coherent. NaN for fewer than three
    images.
    """
    if len(units) < _FEWEST_IMAGES:
        return float("nan")
    return float((1 + (null >= compute_coherence(units)).sum()) / (1 + len(null)))


def compute_rank_p(hits: np.ndarray, pool: np.ndarray, rng: np.random.Generator, num_draws: int = NUM_DRAWS) -> float:
    """One-sided p of a class's images being recognised no worse than random draws of its size.

    `hits` (n,) bool: the given label was the top out-of-fold prediction; `pool` (N,) bool: the same of all images.
    Small: recognised clearly worse than others. NaN without images.
    """
    if not len(hits) or len(pool) < len(hits):
        return float("nan")
    # a draw without replacement: the number of hits is hypergeometric
    null = rng.hypergeometric(int(pool.sum()), int((~pool).sum()), len(hits), num_draws)
    return float((1 + (null <= hits.sum()).sum()) / (1 + num_draws))


def judge_low_count(coherence_p: float, rank_p: float, kept_coherence_p: float) -> str:
    """The action for a class under the minimum count: keep, drop or review.

    Clearly coherent: keep. No more coherent than random draws, neither as a whole nor in what the labels stage kept
    of it (`kept_coherence_p`), and, if ranks are known, recognised worse than random draws: a jumble, drop.
    Everything else is for people to review.
    """
    if np.isnan(coherence_p):
        return "review"
    if coherence_p <= _COHERENT_P:
        return "keep"
    badly_recognised = np.isnan(rank_p) or rank_p <= _JUMBLED_P
    incoherent = coherence_p > _JUMBLED_P and not kept_coherence_p <= _COHERENT_P
    return "drop" if incoherent and badly_recognised else "review"
