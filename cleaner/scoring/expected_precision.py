"""How much of what looks wrong is dropped: by the share of it that is expected to be wrong. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LEAST = 0.6
"""What is expected to be wrong less often goes to people, for the whole list and for each class."""
_SURE, _SHARE = 0.9, 1 / 3
"""More than the second share of a class is dropped only where the first share of that is expected to be wrong."""
_FEWEST_LEFT = 5
"""A class in which fewer images do not look wrong loses none: the model knows too little of it to be trusted."""


@dataclass(frozen=True)
class TrustedDrops:
    """What is dropped of n candidates or not, in K classes."""

    drops: np.ndarray
    """(n,) bool."""
    precision: float
    """Mean probability of all candidates; NaN without any."""
    untouched: np.ndarray
    """(K,) bool: classes that have candidates and lose none of them."""
    reduced: np.ndarray
    """(K,) bool: classes that lose some of their candidates, not all."""


def choose_drops(issue_prob: np.ndarray, candidates: np.ndarray, targets: np.ndarray, num_classes: int) -> TrustedDrops:
    """Which `candidates` (n,) bool are dropped; the others are for people.

    `issue_prob` (n,): probability that the label is wrong, no NaN among candidates; `targets` (n,) int64: given
    classes. The mean probability of a set is the share of it that is expected to be wrong. Under 0.6 for all
    candidates, none is dropped; under 0.6 for those of a class, none of that class. Of each class the most probable
    are dropped: up to a third of its images, or more, as long as 0.9 of them are expected to be wrong.
    """
    sizes = np.bincount(targets, minlength=num_classes)
    rows = np.flatnonzero(candidates)
    rows = rows[np.lexsort((-issue_prob[rows], targets[rows]))]  # by class, the most probable first
    prob, own = issue_prob[rows].astype(np.float64), targets[rows]
    num = np.bincount(own, minlength=num_classes)
    total = np.bincount(own, weights=prob, minlength=num_classes)
    place = np.arange(len(rows)) - (np.cumsum(num) - num)[own] + 1
    summed = np.cumsum(prob) - (np.cumsum(total) - total)[own]
    is_judged = (total >= _LEAST * num) & (sizes - num >= _FEWEST_LEFT)
    trusted = is_judged[own] & ((place <= _SHARE * sizes[own]) | (summed >= _SURE * place))
    precision = float(prob.mean()) if len(rows) else float("nan")
    drops = np.zeros(len(targets), bool)
    if precision >= _LEAST:
        drops[rows[trusted]] = True
    dropped = np.bincount(targets[drops], minlength=num_classes)
    return TrustedDrops(drops, precision, (num > 0) & (dropped == 0), (dropped > 0) & (dropped < num))
