"""From a score to a probability of noise: a mixture of two normal distributions over all images, seeds held fixed.

The logit of a classifier trained on a few hundred seeds says little of its own tail: where noise is one image in fifty,
0.9 takes odds of 450 to 1, far beyond what 200 normal seeds can calibrate. The scores of all images can: most of them
are normal, and expectation maximisation estimates both components and the share of noise together (Saerens, Latinne &
Decaestecker 2002 for the share; McLachlan & Peel 2000, ch. 2, for the mixture). Scores below the middle of the normal
images say nothing of noise and fall off more slowly: the normal component is fitted to its upper side alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

_FIRST_SHARE = 0.02
_SMALLEST_SHARE, _LARGEST_SHARE = 1e-6, 0.5
_SMALLEST_SPREAD = 0.3
"""In robust standard deviations of all scores: a component must not shrink to a few equal scores."""
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
    scores: np.ndarray, noise_seeds: np.ndarray, normal_seeds: np.ndarray, countable: np.ndarray
) -> NoisePosterior:
    """Probability of noise for each of N scores; higher scores are more like noise, those of seeds are out-of-fold.

    `noise_seeds`, `normal_seeds`, `countable` (N,) bool: seeds keep their kind while the mixture is fitted, over
    countable rows and seeds. There must be a noise seed. A score below the middle of the normal component is never
    noise, and a higher score is never less so.
    """
    middle = float(np.median(scores[countable]))
    spread = max(1.4826 * float(np.median(np.abs(scores[countable] - middle))), 1e-9)
    z = (scores - middle) / spread
    free = countable & ~noise_seeds & ~normal_seeds
    mixture = _fit(z[free], z[noise_seeds], z[normal_seeds])
    probs = expit(_never_falling(z, mixture.log_odds(np.maximum(z, mixture.low))))
    probs[z < mixture.low] = 0
    num_noise = mixture.share * free.sum() + (noise_seeds & countable).sum()
    return NoisePosterior(probs.astype(np.float32), float(num_noise / max(1, countable.sum())))


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

    def log_odds(self, z: np.ndarray) -> np.ndarray:
        """Log odds (n,) of noise."""
        ratio = _log_density(z, self.high, self.high_spread) - _log_density(z, self.low, self.low_spread)
        odds: np.ndarray = ratio + np.log(self.share) - np.log1p(-self.share)
        return odds


def _fit(free: np.ndarray, noise: np.ndarray, normal: np.ndarray) -> _Mixture:
    low, low_spread = 0.0, 1.0  # middle and robust spread of all: as of the normal images, while noise is rare
    high, high_spread = _moments(noise, np.ones(len(noise)))
    share = _FIRST_SHARE
    for _ in range(_MAX_STEPS):
        mixture = _Mixture(low, low_spread, high, high_spread, share)
        probs = np.where(free < low, 0.0, expit(mixture.log_odds(free)))
        high, high_spread = _moments(np.concatenate([free, noise]), np.concatenate([probs, np.ones(len(noise))]))
        weights = np.concatenate([1 - probs, np.ones(len(normal))])
        low, low_spread = _upper_half(np.concatenate([free, normal]), weights)
        before, share = share, float(np.clip(probs.mean(), _SMALLEST_SHARE, _LARGEST_SHARE)) if len(free) else share
        if abs(share - before) < _TOLERANCE:
            break
    return _Mixture(low, low_spread, high, high_spread, share)


def _moments(z: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    mean = float(np.average(z, weights=weights))
    return mean, max(float(np.sqrt(np.average((z - mean) ** 2, weights=weights))), _SMALLEST_SPREAD)


def _upper_half(z: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted median, and root mean square distance from it of what lies above."""
    order = np.argsort(z, kind="stable")
    below = np.cumsum(weights[order])
    middle = float(z[order][np.searchsorted(below, below[-1] / 2)])
    above = z > middle
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


def _log_density(z: np.ndarray, mean: float, spread: float) -> np.ndarray:
    density: np.ndarray = -0.5 * ((z - mean) / spread) ** 2 - np.log(spread)
    return density
