"""Does label noise grow as images get less clear? Told from where a model is surest, for there it hardly errs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import beta

from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold

_CLEAR, _CLEAREST = 0.3, 0.1
"""Shares of the images, those that the model is surest of first."""
_GROWTH = (3.0, 5.0)
"""Growth over its standard error: up to the first it is chance or the model's own errors, from the second on it is
shown. On sets with planted noise, which does not grow, it reached 3.9; on sets labelled by people it began at 4.8."""
_FLOOR = (0.03, 0.08)
"""Disagreement on the clearest images over that on all, at least, with 95 % confidence. Without wrong labels it was at
most .01, under people's labels at least .09: people err on clear images too, a model does not."""
_MAX_STEPS, _TOLERANCE = 50, 1e-8


@dataclass(frozen=True)
class InstanceDependence:
    """Evidence that noise depends on the instance and not on its class alone."""

    weight: float
    """How far it counts as shown, 0 .. 1."""
    growth: float
    """Slope of the log odds of disagreement over the clear images, in standard errors."""
    floor: float
    """Disagreement on the clearest images over that on all, the lower bound of 95 % confidence."""


def find_instance_dependence(predictions: OutOfFold, decided: np.ndarray) -> InstanceDependence:
    """Whether given labels differ from the predicted ones the more often, the less sure the model is.

    `decided` (n,) int64: UNDECIDED where no person spoke; other rows are left out, for people look at chosen ones.
    A logistic regression of disagreement on the rank of the model's confidence, over the clear images. Where noise
    depends on the class alone the slope is 0; a model without noise disagrees as images get less clear too, but never
    on the clearest.
    """
    rows = np.flatnonzero((predictions.given_rank >= 0) & (decided == UNDECIDED))
    rows = rows[np.argsort(-predictions.predicted_confidence[rows], kind="stable")]
    disagrees = predictions.given_rank[rows] > 0
    num_clear, num_clearest = int(_CLEAR * len(rows)), int(_CLEAREST * len(rows))
    if not num_clearest or not disagrees[:num_clear].any():
        return InstanceDependence(0.0, 0.0, 0.0)
    growth = _slope_over_error((np.arange(num_clear) + 0.5) / len(rows), disagrees[:num_clear])
    num = int(disagrees[:num_clearest].sum())
    low = float(beta.ppf(0.05, num, num_clearest - num + 1)) if num else 0.0
    floor = low / float(disagrees.mean())
    return InstanceDependence(_ramp(growth, *_GROWTH) * _ramp(floor, *_FLOOR), growth, floor)


def _slope_over_error(x: np.ndarray, y: np.ndarray) -> float:
    """Wald statistic of the slope of a logistic regression of y (n,) bool on x (n,)."""
    design = np.stack([np.ones(len(x)), x])
    weights = np.array([np.log((y.mean() + 1e-4) / (1 - y.mean() + 1e-4)), 0.0])
    for _ in range(_MAX_STEPS):
        probs = expit(weights @ design)
        information = (design * (probs * (1 - probs))) @ design.T + 1e-9 * np.eye(2)
        change = np.clip(np.linalg.solve(information, design @ (y - probs)), -1, 1)
        weights += change
        if np.abs(change).max() < _TOLERANCE:
            break
    return float(weights[1] / np.sqrt(np.linalg.inv(information)[1, 1]))


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, linear between."""
    return float(np.clip((value - low) / (high - low), 0, 1))
