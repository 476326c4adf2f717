"""The probability that a label is wrong: its recalibration by verdicts, and the threshold for dropping."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

_THRESHOLDS = (0.3, 0.5)
_TINY = 1e-12


def find_f1_threshold(issue_prob: np.ndarray) -> float:
    """The threshold at which dropping has the highest expected F1, limited to 0.3 .. 0.5.

    The optimum is half the F1 reached (Lipton, Elkan & Naryanaswamy 2014), so never above 0.5. `issue_prob` (n,):
    probabilities, NaN where there is none.
    """
    falling = np.sort(issue_prob[~np.isnan(issue_prob)].astype(np.float64))[::-1]
    low, high = _THRESHOLDS
    if not len(falling):
        return high
    f1 = 2 * np.cumsum(falling) / (np.arange(1, len(falling) + 1) + falling.sum() + _TINY)
    return float(np.clip(falling[int(f1.argmax())], low, high))


def recalibrate(issue_prob: np.ndarray, reviewed: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Recalibrate probabilities by people's verdicts: logit p' = a ln p - b ln(1 - p) + c.

    `issue_prob` (n,) float32, NaN where there is none; `reviewed` (n,) bool: a person judged the label; `wrong` (n,)
    bool: and found it wrong. Beta calibration (Kull, Silva Filho & Flach 2017), which moves the two ends independently,
    with normal priors of mean 1 and deviation 0.25 on a and b, 0 and 0.5 on c: a handful of verdicts changes little,
    hundreds decide. Which images were reviewed may depend on p. The order of the probabilities stays. Returns (n,)
    float32.
    """
    seen = reviewed & ~np.isnan(issue_prob)
    if not seen.any():
        return issue_prob
    p = np.clip(issue_prob.astype(np.float64), 1e-6, 1 - 1e-6)
    terms = np.stack([np.log(p), -np.log1p(-p), np.ones(len(p))])
    sign = np.where(wrong[seen], 1, -1)
    means, deviations = np.array([1.0, 1.0, 0.0]), np.array([0.25, 0.25, 0.5])

    def loss(weights: np.ndarray) -> float:
        misfit = -log_expit(sign * (weights @ terms[:, seen])).sum()
        return float(misfit + 0.5 * (((weights - means) / deviations) ** 2).sum())

    bounds = [(0.05, None), (0.05, None), (None, None)]
    weights = minimize(loss, means, method="L-BFGS-B", bounds=bounds).x
    recalibrated: np.ndarray = expit(weights @ terms).astype(np.float32)
    return recalibrated
