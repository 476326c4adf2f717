"""The noise classifier: heads on what images show, stacked with evidence that needs no seeds, and a probability.

Method, formulae and sources: docs/methods.md, "Noise images".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cleaner.scoring.groups import assign_folds
from cleaner.scoring.noise_evidence import estimate_share, to_probability
from cleaner.scoring.noise_posterior import compute_noise_posterior

Features = Callable[[np.ndarray], np.ndarray]
"""Row numbers (n,) int64 to standardised features (n, D) float32."""

_HEAD_STRENGTH = 10.0
"""Inverse strength of a head's L2 penalty, divided by its number of features."""
_STACK_STRENGTH = 1.0
"""Both strengths change little between a tenth and ten times their value (docs/experiments.md)."""
_FOLDS = 5
FEWEST_OF_A_KIND = 4
"""With fewer images of a kind there is nothing to learn out of fold: the default weights decide."""
_CHUNK = 4096


@dataclass(frozen=True)
class NoiseSeeds:
    """Seeds over N rows: each keeps its kind, whatever the model says."""

    is_seed: np.ndarray
    """(N,) bool."""
    is_noise: np.ndarray
    """(N,) bool; false where a row is no seed."""


@dataclass(frozen=True)
class Sight:
    """What the classifier sees of N rows."""

    contents: Sequence[Features]
    """Kinds of features of the images themselves; one head learns from each."""
    ranks: np.ndarray
    """(N, E) float32: evidence as normal scores."""
    default_log_odds: np.ndarray
    """(N,) float: log odds of noise at equal shares by the default weights of the evidence."""
    groups: np.ndarray
    """(N,) int64: rows of one duplicate group share a number, and a fold."""
    countable: np.ndarray
    """(N,) bool: rows over which the share of noise is estimated and in which noise may be found."""


@dataclass(frozen=True)
class NoiseEstimate:
    """What one model says of N rows."""

    noise_prob: np.ndarray
    """(N,) float32 in 0 .. 1; out of fold for rows that the model learned from."""
    share: float
    """Share of noise over the countable rows, 0 .. 1."""
    seed_loss: float = np.inf
    """Log loss over the seeds with both kinds counting the same, out of fold; infinite without both kinds."""


class NoiseModel:
    """Estimates noise from what rows are known to be."""

    def __init__(self, sight: Sight, seeds: NoiseSeeds, rng: np.random.Generator) -> None:
        self._sight, self._seeds = sight, seeds
        kinds = seeds.is_noise.astype(np.int64) + 2 * seeds.is_seed
        self._fold = assign_folds(sight.groups, kinds, _FOLDS, rng)

    def by_default(self) -> NoiseEstimate:
        """The estimate by the default weights of the evidence; only the share of noise is learned."""
        log_odds = self._sight.default_log_odds
        share = estimate_share(log_odds[self._sight.countable & ~self._seeds.is_seed])
        return NoiseEstimate(to_probability(log_odds, share), share)

    def learn(self, positive: np.ndarray, negative: np.ndarray) -> NoiseEstimate:
        """The estimate by a model that learns rows (N,) bool as noise and as normal, at least one of each.

        Stacking (Wolpert 1992): a linear head on each kind of content, then a linear model over their out-of-fold
        scores, the default log odds and the ranks of the evidence.
        """
        sight, seeds = self._sight, self._seeds
        rows = np.flatnonzero(positive | negative)
        y, fold = positive[rows], self._fold[rows]
        columns = [_head_scores(kind, rows, y, fold, len(positive)) for kind in sight.contents]
        scaled = [score / max(float(score[rows].std()), 1e-9) for score in columns]
        default = sight.default_log_odds / max(float(sight.default_log_odds.std()), 1e-9)
        table = np.column_stack([*scaled, default, sight.ranks]).astype(np.float64)
        scores = _fit(table[rows], y, _STACK_STRENGTH).decision_function(table)
        scores[rows] = _out_of_fold(table[rows], y, fold, _STACK_STRENGTH, scores[rows])
        noise_seeds, normal_seeds = seeds.is_noise, seeds.is_seed & ~seeds.is_noise
        # finds are not held as noise beside seeds: their spread would be that of what is easy to find
        held = noise_seeds if noise_seeds.any() else positive
        posterior = compute_noise_posterior(scores, held, normal_seeds, sight.countable)
        loss = _balanced_loss(scores[seeds.is_seed], seeds.is_noise[seeds.is_seed])
        return NoiseEstimate(posterior.probs, posterior.prior, loss)


def _head_scores(features: Features, rows: np.ndarray, y: np.ndarray, fold: np.ndarray, num_rows: int) -> np.ndarray:
    """Logits (N,) of a linear head; rows that it learned from are scored by a head that did not."""
    x = features(rows)
    strength = _HEAD_STRENGTH / x.shape[1]
    head = _fit(x, y, strength)
    scores = np.empty(num_rows)
    for start in range(0, num_rows, _CHUNK):
        part = np.arange(start, min(start + _CHUNK, num_rows))
        scores[part] = head.decision_function(features(part))
    scores[rows] = _out_of_fold(x, y, fold, strength, scores[rows])
    return scores


def _out_of_fold(x: np.ndarray, y: np.ndarray, fold: np.ndarray, strength: float, scores: np.ndarray) -> np.ndarray:
    """`scores` (n,) with those of each fold replaced, where the other folds hold both kinds."""
    filled = scores.copy()
    for k in np.unique(fold):
        mine = fold == k
        if len(np.unique(y[~mine])) == 2:
            filled[mine] = _fit(x[~mine], y[~mine], strength).decision_function(x[mine])
    return filled


def _fit(x: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    head = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    with threadpool_limits(1):  # a second thread makes it up to nine times as slow, and hardly faster on 50,000 rows
        return head.fit(x, y)


def _balanced_loss(log_odds: np.ndarray, is_noise: np.ndarray) -> float:
    """Log loss with both kinds counting the same; infinite without one of them."""
    if not is_noise.any() or is_noise.all():
        return np.inf
    loss = np.logaddexp(0, np.where(is_noise, -log_odds, log_odds))
    return float((loss[is_noise].mean() + loss[~is_noise].mean()) / 2)
