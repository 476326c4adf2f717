"""From a score to a probability of noise: a mixture of normal distributions over all images, seeds held fixed.

The logit of a classifier trained on a few hundred seeds says little of its own tail: noise is one image in fifty, so
0.9 takes odds of 450 to 1, far beyond what 200 normal seeds can calibrate. The scores of all images can: the bulk of
them is the normal component, and expectation maximisation re-estimates the components and the share of noise
together (Saerens, Latinne & Decaestecker 2002 for the share; McLachlan & Peel 2000, ch. 2, for the mixture). Noise has
two components of its own: graphics lie far from any photograph, photographs of another kind lie much nearer. What
scores look like below the middle of the normal images says nothing of noise, and that side falls off more slowly: the
normal component is fitted to its upper side alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

_FIRST_PRIOR = 0.02
_MIN_PRIOR = 1e-6
_MIN_SPREAD = 0.3
_MIN_NOISE_SPREAD = 0.6
_FIRST_CENTRES = (0.25, 0.75)
"""Quantiles of the noise seeds at which the two components of noise start."""
_FEWEST_SPREADS = 4.0
"""So far from the normal middle, in normal spreads, either centre of noise stays: nearer by, a second component takes
the tail of fifteen thousand normal images for noise (docs/experiments.md)."""
_NOISE_SEED_COUNT = 10.0
"""As many images as each noise seed stands for, while finds count by their probability: 50 seeds that all lie far out
outvote a few sound but odd images half-way (docs/experiments.md; 20 did as well, 1 and 3 worse)."""
_FREE, _NOISE, _NORMAL = 0, 1, 2
_BINS = 4096
_MAX_STEPS = 500
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class NoisePosterior:
    """Probabilities and what they rest on."""

    probs: np.ndarray
    """(N,) float32 in 0 .. 1, of each image by its score alone, seeds too."""
    prior: float
    """Share of noise over the countable images, seeds among them, in 0 .. 1."""


@dataclass(frozen=True)
class _Mixture:
    """One normal component, two of noise, and the share of noise."""

    low: float
    """Median of the normal images."""
    low_spread: float
    """Root mean square distance from there of those above."""
    high: np.ndarray
    """(2,) float, as are the spreads and the weights."""
    high_spread: np.ndarray
    high_weight: np.ndarray
    prior: float
    """Share of noise among images that are no seeds, in (0, 1)."""

    def noise_densities(self, z: np.ndarray) -> np.ndarray:
        """Log densities (n, 2) of the components of noise, their weights in them."""
        densities: np.ndarray = _log_density(z[:, None], self.high, self.high_spread) + np.log(self.high_weight)
        return densities

    def log_odds(self, z: np.ndarray) -> np.ndarray:
        """Log odds (n,) of noise."""
        ratio = np.logaddexp(*self.noise_densities(z).T) - _log_density(z, self.low, self.low_spread)
        odds: np.ndarray = ratio + np.log(self.prior) - np.log1p(-self.prior)
        return odds


def compute_noise_posterior(
    scores: np.ndarray, noise_seeds: np.ndarray, normal_seeds: np.ndarray, countable: np.ndarray
) -> NoisePosterior:
    """Probability of noise for each of N scores, higher is more like noise; those of seeds must be out-of-fold.

    `noise_seeds`, `normal_seeds`, `countable` (N,) bool: seeds keep their kind while the mixture is fitted; it is
    fitted over countable rows and seeds. Scores below the middle of the normal component are never noise, and a
    higher score is never less so.
    """
    free = countable & ~noise_seeds & ~normal_seeds
    mixture = _fit(scores[free], scores[noise_seeds], scores[normal_seeds])
    probs = expit(mixture.log_odds(scores))
    probs[scores < mixture.low] = 0.0
    # normal curves of unlike width cross twice: beyond the crossing more is always more
    order = np.argsort(scores, kind="stable")
    probs[order] = np.maximum.accumulate(probs[order])
    num_noise = mixture.prior * free.sum() + (noise_seeds & countable).sum()
    return NoisePosterior(probs.astype(np.float32), float(num_noise / max(countable.sum(), 1)))


def _fit(free: np.ndarray, noise: np.ndarray, normal: np.ndarray) -> _Mixture:
    """Expectation maximisation over `free` scores, in bins, and those of noise and normal seeds."""
    counts, edges = np.histogram(free, _BINS) if len(free) else (np.zeros(0), np.zeros(1))
    z = np.concatenate([(edges[:-1] + edges[1:]) / 2, noise, normal])
    count = np.concatenate([counts, np.full(len(noise), _NOISE_SEED_COUNT), np.ones(len(normal))])
    kind = np.repeat([_FREE, _NOISE, _NORMAL], [len(counts), len(noise), len(normal)])
    order = np.argsort(z, kind="stable")
    z, count, is_free, is_noise = z[order], count[order], kind[order] == _FREE, kind[order] == _NOISE
    everything = np.concatenate([free, noise, normal])
    low = float(np.median(everything))
    mixture = _Mixture(
        low=low,
        low_spread=max(1.4826 * float(np.median(np.abs(everything - low))), _MIN_SPREAD),
        high=np.quantile(noise, _FIRST_CENTRES),
        high_spread=np.full(2, max(float(noise.std()), _MIN_NOISE_SPREAD)),
        high_weight=np.full(2, 0.5),
        prior=_FIRST_PRIOR,
    )
    for _ in range(_MAX_STEPS):
        before = mixture.prior
        mixture = _step(mixture, z, count, is_free, is_noise)
        if abs(mixture.prior - before) < _TOLERANCE:
            break
    return mixture


def _step(old: _Mixture, z: np.ndarray, count: np.ndarray, is_free: np.ndarray, is_noise: np.ndarray) -> _Mixture:
    furthest = float(np.median(z[is_noise]))
    share = np.where(is_free, np.where(z < old.low, 0.0, expit(old.log_odds(z))), is_noise)
    densities = old.noise_densities(z)
    of_each = np.exp(densities - np.logaddexp(*densities.T)[:, None]) * (share * count)[:, None]
    num_free = float(count[is_free].sum())
    prior = float((share * count)[is_free].sum()) / num_free if num_free else old.prior
    low, low_spread = _upper_side(z, (1 - share) * count)
    weight = np.maximum(of_each.sum(0), 1e-9)
    high = of_each.T @ z / weight
    high_spread = np.sqrt((of_each * (z[:, None] - high) ** 2).sum(0) / weight)
    return _Mixture(
        low, low_spread,
        np.maximum(high, min(low + _FEWEST_SPREADS * low_spread, furthest)), np.maximum(high_spread, _MIN_NOISE_SPREAD),
        weight / weight.sum(), min(max(prior, _MIN_PRIOR), 1 - _MIN_PRIOR),
    )  # fmt: skip


def _log_density(z: np.ndarray, mean: np.ndarray | float, spread: np.ndarray | float) -> np.ndarray:
    density: np.ndarray = -0.5 * ((z - mean) / spread) ** 2 - np.log(spread) - 0.5 * np.log(2 * np.pi)
    return density


def _upper_side(z: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Weighted median of `z` (n,), rising, and the root mean square distance from it of what is above."""
    up_to = np.cumsum(weight)
    middle = float(z[np.searchsorted(up_to, up_to[-1] / 2)])
    above = np.where(z > middle, weight, 0.0)
    return middle, max(float(np.sqrt((above * (z - middle) ** 2).sum() / max(above.sum(), 1e-9))), _MIN_SPREAD)
