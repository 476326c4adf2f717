"""How well the noise classifier separates people's seeds, and whether its probabilities mean what they say.

The probabilities of seeds are out-of-fold: the model that scored one never learned from it. People pick seeds, so noise
is far more frequent among them than in the set; each kind is therefore weighted to the share that the stage estimated.
"""

from __future__ import annotations

import numpy as np


def seed_weights(is_noise: np.ndarray, prior: float) -> np.ndarray:
    """Weights (n,) float64 with which the noise among seeds (n,) bool has the share `prior` of the whole."""
    share = float(is_noise.mean())
    assert 0 < share < 1, "seeds of both kinds"
    weights: np.ndarray = np.where(is_noise, prior / share, (1 - prior) / (1 - share))
    return weights


def compute_precision_recall(prob: np.ndarray, is_noise: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(m, 3) float64: threshold, precision, recall where everything at or above the threshold counts as noise.

    From the highest threshold to the lowest, one for each different probability.
    """
    order = np.argsort(-prob, kind="stable")
    found = np.cumsum((weights * is_noise)[order])
    wrong = np.cumsum((weights * ~is_noise)[order])
    last = np.flatnonzero(np.append(np.diff(prob[order]) != 0, True))
    return np.column_stack([prob[order][last], (found / (found + wrong))[last], (found / found[-1])[last]])


def compute_average_precision(curve: np.ndarray) -> float:
    """Area under the precision-recall curve (m, 3), with the highest precision to the right of each recall."""
    best = np.maximum.accumulate(curve[::-1, 1])[::-1]
    return float(np.sum(np.diff(curve[:, 2], prepend=0.0) * best))


def compute_reliability(prob: np.ndarray, is_noise: np.ndarray, weights: np.ndarray, num_bins: int = 10) -> np.ndarray:
    """(b, 3) float64 for the bins that hold seeds: mean probability, share of noise, number of seeds."""
    bins = np.minimum((prob * num_bins).astype(int), num_bins - 1)
    rows = []
    for b in np.unique(bins):
        mine = bins == b
        w = weights[mine]
        rows.append((np.average(prob[mine], weights=w), np.average(is_noise[mine], weights=w), mine.sum()))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def at_threshold(prob: np.ndarray, is_noise: np.ndarray, weights: np.ndarray, threshold: float) -> tuple[float, float]:
    """Precision (NaN if nothing is above) and recall of taking what is above `threshold`."""
    above = prob > threshold
    found, taken = float(weights[above & is_noise].sum()), float(weights[above].sum())
    return found / taken if taken else float("nan"), found / float(weights[is_noise].sum())
