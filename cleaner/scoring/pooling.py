"""Two models' predictions as one: a logarithmic opinion pool, weighed by the likelihood of the given labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from cleaner.scoring.held_out import Predicts
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold

_MOST_ROWS, _MOST_CELLS = 12_500, 20_000_000
"""The weight is chosen on as many rows at most, evenly spaced, and as many rows x classes."""
_TINY = 1e-9


@dataclass(frozen=True)
class Pool:
    """p(y | x) in proportion to ours^(1 - weight) theirs^weight (Genest & Zidek 1986) for n images."""

    ours: OutOfFold
    """Of the n images; classes that it does not list share what is left of the probability."""
    theirs: Predicts
    """Of the same images, by number."""
    weight: float
    """0 (ours alone) .. 1 (theirs alone)."""

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predicts.predict."""
        for part, theirs in self.theirs.predict(rows):
            log_ours = _log(_spread(self.ours.take(rows[part]), theirs.shape[1]))
            yield part, _softmax((1 - self.weight) * log_ours + self.weight * _log(theirs))


def weigh_pool(pool: Pool, transition: np.ndarray, decided: np.ndarray) -> Pool:
    """The pool with the weight under which the given labels of images without a verdict are likeliest.

    P(given g | x) = sum over y of T(g | y) p(y | x), p in proportion to ours^a theirs^b prior^c with a, b, c >= 0; the
    weight is b / (a + b). The predictions are out of fold, so the labels are held out from those who predict them.
    `transition` (K, K): T, row y, column g; `decided` (n,) int64: UNDECIDED where nobody judged the label.
    """
    num_classes = len(transition)
    free = np.flatnonzero((decided == UNDECIDED) & (pool.ours.given_rank >= 0))
    most = max(1, min(_MOST_ROWS, _MOST_CELLS // num_classes))
    rows = free[:: max(1, -(-len(free) // most))]
    if not len(rows):
        return pool
    given = pool.ours.given[rows]
    log_ours = _log(_spread(pool.ours.take(rows), num_classes))
    log_theirs = np.concatenate([_log(probs) for _, probs in pool.theirs.predict(rows)])
    log_prior = _log(np.bincount(pool.ours.given[free], minlength=num_classes) / len(free))
    of_given = transition.T[given]

    def loss(exponents: np.ndarray) -> float:
        ours, theirs, prior = np.asarray(exponents, np.float32)
        right = _softmax(ours * log_ours + theirs * log_theirs + prior * log_prior)
        return -float(np.log((right * of_given).sum(1) + _TINY).mean(dtype=np.float64))

    bounds, options = [(0, 5), (0, 5), (0, 2)], {"xatol": 0.005, "fatol": 1e-6}
    found = minimize(loss, np.array([0.5, 0.5, 0.1]), method="Nelder-Mead", bounds=bounds, options=options).x
    return replace(pool, weight=float(found[1] / max(found[0] + found[1], _TINY)))


def _spread(predictions: OutOfFold, num_classes: int) -> np.ndarray:
    """Probabilities (n, K) float32; what the listed classes leave is spread evenly over the others."""
    num = len(predictions.given)
    classes, listed = predictions.classes, predictions.probs
    left = np.maximum(1 - listed.sum(1), 0) / max(1, num_classes - classes.shape[1])
    probs = np.repeat(left[:, None], num_classes, axis=1).astype(np.float32)
    line = np.repeat(np.arange(num), classes.shape[1])
    there = (classes >= 0).ravel()
    probs[line[there], classes.ravel()[there]] = listed.ravel()[there]
    return probs


def _log(probs: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log(np.maximum(probs, _TINY)).astype(np.float32)
    return logs


def _softmax(logits: np.ndarray) -> np.ndarray:
    probs: np.ndarray = np.exp(logits - logits.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    return probs
