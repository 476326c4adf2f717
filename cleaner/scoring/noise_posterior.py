"""From a score to a probability of noise: a mixture of two distributions over all images, seeds held fixed.

The logit of a classifier trained on a few hundred seeds says little of its own tail: where noise is one image in fifty,
0.9 takes odds of 450 to 1, far beyond what 200 normal seeds can calibrate. The scores of all images can: most of them
are normal, and expectation maximisation estimates both components and the share of noise together (Saerens, Latinne &
Decaestecker 2002 for the share; McLachlan & Peel 2000, ch. 2, for the mixture). Scores below the middle of the normal
images say nothing of noise and fall off more slowly: the normal component is fitted to its upper side alone. Far up it
falls off more slowly than a normal distribution does, as Student's t with 30 degrees of freedom, 10 without
noise seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln
from sklearn.linear_model import LogisticRegression

_FIRST_SHARE = 0.02
_SMALLEST_SHARE, _LARGEST_SHARE = 1e-6, 0.5
_SMALLEST_SPREAD = 0.3
"""In robust standard deviations of all scores: a component must not shrink to a few equal scores."""
_TAIL, _COLD_TAIL = 30, 10
"""Degrees of freedom with noise seeds and without: fewer lose noise, more throw right images out
(docs/experiments.md)."""
_PLATT_STRENGTH = 1000.0
"""Hardly any shrinkage: two numbers are learned."""
_MAX_STEPS = 500
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class NoisePosterior:
    """Probabilities and what they rest on."""

    probs: np.ndarray
    """(N,) float32 in 0 .. 1, of each image by its score alone, seeds too."""
    prior: float
    """Share of noise over the countable images, seeds among them, in 0 .. 1."""


def compute_noise_posterior(
    scores: np.ndarray,
    noise_seeds: np.ndarray,
    normal_seeds: np.ndarray,
    countable: np.ndarray,
    likely_noise: np.ndarray | None = None,
) -> NoisePosterior:
    """Probability of noise for each of N scores; higher scores are more like noise, those of seeds are held out.

    `noise_seeds`, `normal_seeds`, `countable` (N,) bool: seeds keep their kind while the mixture is fitted, over
    countable rows and seeds. Without a noise seed the fit starts from rows that are `likely_noise` (N,) bool. A score
    below the middle of the normal component is never noise, and a higher score is never less so.
    """
    middle = float(np.median(scores[countable]))
    spread = max(1.4826 * float(np.median(np.abs(scores[countable] - middle))), 1e-9)
    z = (scores - middle) / spread
    free = countable & ~noise_seeds & ~normal_seeds
    start = noise_seeds if likely_noise is None else noise_seeds | likely_noise
    mixture = _fit(z[free], z[noise_seeds], z[normal_seeds], z[start])
    probs = expit(_never_falling(z, mixture.log_odds(np.maximum(z, mixture.low))))
    probs[z < mixture.low] = 0
    num_noise = mixture.share * free.sum() + (noise_seeds & countable).sum()
    return NoisePosterior(probs.astype(np.float32), float(num_noise / max(1, countable.sum())))


def compute_answer_posterior(scores: np.ndarray, noise: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Probability of noise (N,) float32 by the answers alone, at least one of each kind: Platt scaling.

    `scores` (N,), those of answered rows held out; `noise`, `normal` (N,) bool. For pictures that were chosen by what
    they look like (likely ones, and some at random), the share of noise at a score is the same whether they were asked
    or not; what is left to ask is no mixture of the kinds as answered. Targets are smoothed as in Platt 1999.
    """
    rows = np.flatnonzero(noise | normal)
    num_noise, num_normal = int(noise.sum()), int(normal.sum())
    target = np.where(noise[rows], (num_noise + 1) / (num_noise + 2), 1 / (num_normal + 2))
    twice = np.concatenate([scores[rows], scores[rows]])[:, None]
    kinds = np.arange(len(twice)) < len(rows)
    line = LogisticRegression(C=_PLATT_STRENGTH).fit(twice, kinds, np.concatenate([target, 1 - target]))
    probs: np.ndarray = line.predict_proba(scores[:, None])[:, 1].astype(np.float32)
    return probs


@dataclass(frozen=True)
class _Mixture:
    low: float
    """Middle of the normal images."""
    low_spread: float
    """Root mean square distance from there of those above."""
    high: float
    high_spread: float
    share: float
    """Share of noise among images that are no seeds."""
    tail: int

    def log_odds(self, z: np.ndarray) -> np.ndarray:
        """Log odds (n,) of noise."""
        ratio = _log_normal((z - self.high) / self.high_spread) - np.log(self.high_spread)
        ratio -= _log_student((z - self.low) / self.low_spread, self.tail) - np.log(self.low_spread)
        odds: np.ndarray = ratio + np.log(self.share) - np.log1p(-self.share)
        return odds


def _fit(free: np.ndarray, noise: np.ndarray, normal: np.ndarray, start: np.ndarray) -> _Mixture:
    low, low_spread = 0.0, 1.0  # middle and robust spread of all: as of the normal images, while noise is rare
    tail = _TAIL if len(noise) else _COLD_TAIL
    high, high_spread = _moments(start, np.ones(len(start)))
    share = _FIRST_SHARE
    both = np.concatenate([free, normal])
    order = np.argsort(both, kind="stable")
    both = both[order]
    for _ in range(_MAX_STEPS):
        mixture = _Mixture(low, low_spread, high, high_spread, share, tail)
        probs = np.where(free < low, 0.0, expit(mixture.log_odds(free)))
        high, high_spread = _moments(np.concatenate([free, noise]), np.concatenate([probs, np.ones(len(noise))]))
        low, low_spread = _upper_half(both, np.concatenate([1 - probs, np.ones(len(normal))])[order])
        before, share = share, float(np.clip(probs.mean(), _SMALLEST_SHARE, _LARGEST_SHARE)) if len(free) else share
        if abs(share - before) < _TOLERANCE:
            break
    return _Mixture(low, low_spread, high, high_spread, share, tail)


def _moments(z: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    mean = float(np.average(z, weights=weights))
    return mean, max(float(np.sqrt(np.average((z - mean) ** 2, weights=weights))), _SMALLEST_SPREAD)


def _upper_half(z: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted median of rising values `z` (n,), and root mean square distance from it of what lies above."""
    below = np.cumsum(weights)
    middle = float(z[np.searchsorted(below, below[-1] / 2)])
    above = slice(int(np.searchsorted(z, middle, "right")), None)
    if not weights[above].sum() > 0:
        return middle, _SMALLEST_SPREAD
    spread = float(np.sqrt(np.average((z[above] - middle) ** 2, weights=weights[above])))
    return middle, max(spread, _SMALLEST_SPREAD)


def _never_falling(z: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """`log_odds` (n,) raised where a smaller `z` (n,) has larger ones."""
    order = np.argsort(z, kind="stable")
    raised = np.empty_like(log_odds)
    raised[order] = np.maximum.accumulate(log_odds[order])
    return raised


def _log_normal(x: np.ndarray) -> np.ndarray:
    density: np.ndarray = -0.5 * x**2 - 0.5 * np.log(2 * np.pi)
    return density


def _log_student(x: np.ndarray, tail: int) -> np.ndarray:
    """Log density of Student's t with `tail` degrees of freedom, scaled to a standard deviation of 1."""
    constant = gammaln((tail + 1) / 2) - gammaln(tail / 2) - 0.5 * np.log(np.pi * (tail - 2))
    density: np.ndarray = constant - (tail + 1) / 2 * np.log1p(x**2 / (tail - 2))
    return density
