"""From a score to a probability of noise: a mixture of two normal distributions over all images, seeds held fixed.

The logit of a classifier trained on a few hundred seeds says little of its own tail: noise is one image in fifty, so
0.9 takes odds of 450 to 1, far beyond what 200 normal seeds can calibrate. The scores of all images can: the bulk of
them is the normal component, and expectation maximisation re-estimates both components and the share of noise
together (Saerens, Latinne & Decaestecker 2002 for the share; McLachlan & Peel 2000, ch. 2, for the mixture).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import norm

_FIRST_PRIOR = 0.02
_MIN_PRIOR = 1e-6
_MIN_SPREAD = 0.3
_MAX_STEPS = 500
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class NoisePosterior:
    """Probabilities and what they rest on."""

    probs: np.ndarray
    """(N,) float32 in 0 .. 1, of each image by its score alone, seeds too."""
    prior: float
    """Share of noise over the countable images, in (0, 1)."""


def compute_noise_posterior(
    scores: np.ndarray, noise_seeds: np.ndarray, normal_seeds: np.ndarray, countable: np.ndarray
) -> NoisePosterior:
    """Probability of noise for each of N scores, higher is more like noise; those of seeds must be out-of-fold.

    `noise_seeds`, `normal_seeds`, `countable` (N,) bool: seeds keep their component while the mixture is fitted; it
    is fitted over countable rows and seeds. Scores below the middle of the normal component are never noise.
    """
    used = countable | noise_seeds | normal_seeds
    z, is_noise, is_normal = scores[used], noise_seeds[used], normal_seeds[used]
    free = ~(is_noise | is_normal)
    low = float(np.median(z))
    low_spread = max(1.4826 * float(np.median(np.abs(z - low))), _MIN_SPREAD)
    high, high_spread, prior = float(z[is_noise].mean()), float(z[is_noise].std()) + _MIN_SPREAD, _FIRST_PRIOR
    for _ in range(_MAX_STEPS):
        share = expit(_log_odds(z, low, low_spread, high, high_spread, prior))
        share[is_noise], share[is_normal] = 1.0, 0.0
        share[(z < low) & free] = 0.0
        step = float(share[free].mean()) if free.any() else prior
        high, high_spread = _moments(z, share)
        low, low_spread = _moments(z, 1 - share)
        step = min(max(step, _MIN_PRIOR), 1 - _MIN_PRIOR)
        if abs(step - prior) < _TOLERANCE:
            break
        prior = step
    probs = expit(_log_odds(scores, low, low_spread, high, high_spread, prior))
    # two normal curves of unlike width cross twice: beyond the upper centre more is always more
    above = scores > high
    top = float(expit(_log_odds(np.array([high]), low, low_spread, high, high_spread, prior))[0])
    probs[above] = np.maximum(probs[above], top)
    probs[scores < low] = 0.0
    return NoisePosterior(probs.astype(np.float32), prior)


def _log_odds(
    z: np.ndarray, low: float, low_spread: float, high: float, high_spread: float, prior: float
) -> np.ndarray:
    ratio: np.ndarray = norm.logpdf(z, high, high_spread) - norm.logpdf(z, low, low_spread)
    odds: np.ndarray = ratio + np.log(prior) - np.log1p(-prior)
    return odds


def _moments(z: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    total = max(float(weight.sum()), 1e-9)
    mean = float((weight * z).sum() / total)
    return mean, max(float(np.sqrt((weight * (z - mean) ** 2).sum() / total)), _MIN_SPREAD)
