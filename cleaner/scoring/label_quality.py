"""Rules on label issues: which classes are spared, which copy of a conflict stays. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np

_FEWEST_POSITIVES = 5
_SMALLEST_SHARE = 0.3
"""A class that would keep a smaller share is spared."""


def find_spared_classes(targets: np.ndarray, positive: np.ndarray, num_classes: int) -> np.ndarray:
    """Classes from which nothing is dropped because hardly anything would be left: (K,) bool.

    `targets` (n,) class numbers; `positive` (n,) bool. A class is spared if its positives are fewer than
    max(5, 30 % of its images): the model knows too little of it to be trusted. For ranks, which do not know how noisy a
    class is; probabilities do (scoring/expected_precision.py).
    """
    images = np.bincount(targets, minlength=num_classes)
    positives = np.bincount(targets, weights=positive, minlength=num_classes)
    spared: np.ndarray = (images > 0) & (positives < np.maximum(_FEWEST_POSITIVES, _SMALLEST_SHARE * images))
    return spared


def find_conflict_losers(groups: np.ndarray, contested: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Which rows are dropped in favour of an exact copy: (n,) bool.

    `groups` (n,) int64: exact copies within one split share a number; `contested` (n,) bool: rows that compete;
    `order` (n,): rows sorted from the one with the best claim to the worst. The best contested row of each group
    stays, the others lose.
    """
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    rows = np.flatnonzero(contested)
    rows = rows[np.argsort(position[rows])]
    first = np.zeros(len(groups), bool)
    first[rows[np.unique(groups[rows], return_index=True)[1]]] = True
    return contested & ~first
