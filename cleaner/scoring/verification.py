"""Whether one model is better than another: paired differences over test images and training seeds, with intervals.

Both models of a pair are trained with the same seed and predict the same images, so only their difference
d (seed, image) in {-1, 0, 1} counts: right after minus right before. Its mean varies with the images and with the
seeds, which are crossed: images and seeds are resampled independently (the pigeonhole bootstrap: Owen, Annals of
Applied Statistics 1 (2007) 386-411; conservative, it counts the interaction of both three times). Three details keep
the interval valid with few seeds and few images:

- S - 1 of S seeds are drawn (Rao & Wu, JASA 83 (1988) 231-241), which makes the variance unbiased for small S;
- the interval is the mean +- t times the bootstrap's standard error; t's degrees of freedom are the mean, by share of
  the variance, of 1 / (S - 1) and 1 / (n - 1), inverted: a lower bound of Satterthwaite's (1946), which calls 6.6 %
  of the pairs without a difference different where three seeds are all that varies; with this it is 4.4 %;
- half an image that is better, half one that is worse and one that is the same are added to each stratum (Agresti &
  Min, Statistics in Medicine 24 (2005) 729-740), so that three images that agree do not count as certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import false_discovery_control, t

from cleaner.random_streams import Stream, open_stream

Verdict = Literal["helped", "hurt", "cannot_tell"]
CONFIDENCE = 0.95
"""The confidence of every interval; there is a verdict if the interval excludes 0."""
_NUM_DRAWS = 4000  # the standard error is then known to about 1 %
_PSEUDO = ((1, 0.5), (-1, 0.5), (0, 1.0))
"""Differences and weights of the images added to each stratum."""


@dataclass(frozen=True)
class Difference:
    """Accuracy after minus accuracy before, in -1 .. 1."""

    mean: float
    low: float
    high: float
    """Ends of the two-sided interval."""
    p_value: float
    """Two-sided, of no difference."""

    @property
    def verdict(self) -> Verdict:
        """Whether the interval is above 0, below it, or contains it."""
        return "helped" if self.low > 0 else "hurt" if self.high < 0 else "cannot_tell"


@dataclass(frozen=True)
class ClassDifferences:
    """Differences of K classes; NaN for a class without test images."""

    num_images: np.ndarray
    """(K,) int64: test images."""
    before: np.ndarray
    after: np.ndarray
    """(K,) float64: mean accuracies over images and seeds."""
    low: np.ndarray
    high: np.ndarray
    """(K,) float64: each class's interval, not adjusted for the number of classes."""
    p_adjusted: np.ndarray
    """(K,) float64: p-values adjusted over all classes (Benjamini & Hochberg 1995)."""

    def verdicts(self) -> list[Verdict]:
        """A verdict for each class by its adjusted p-value: of those that are not `cannot_tell`, 5 % may be wrong."""
        sure = self.p_adjusted <= 1 - CONFIDENCE
        better = self.after > self.before
        return ["cannot_tell" if not s else "helped" if b else "hurt" for s, b in zip(sure, better, strict=True)]


def compare_models(
    before: np.ndarray, after: np.ndarray, *, weights: np.ndarray, strata: np.ndarray, seed: int
) -> Difference:
    """The difference of two models over all test images.

    `before`, `after` (S, n) bool: whether the models of each seed are right about each image; `weights` (n,) float64
    >= 0: how many images of the population each represents; 0 for one that was drawn but is no test image (it counts
    towards the size of its stratum); `strata` (n,) int64: images are resampled within their stratum.
    """
    difference = after.astype(np.int8) - before.astype(np.int8)  # (S, n)
    num_seeds, total = len(difference), float(weights.sum())
    by_seed = difference @ weights / total  # (S,)
    rng = open_stream(seed, Stream.BOOTSTRAP)
    draws, centre = _draw_means(difference, weights, strata, rng)
    picked = rng.integers(num_seeds, size=(len(draws), max(1, num_seeds - 1)))
    error = float(np.take_along_axis(draws, picked, axis=1).mean(1).std(ddof=1))
    by_images = total**2 / float((weights**2).sum()) - 1
    of_seeds = min(float(by_seed.var(ddof=1)) / num_seeds, error**2) if num_seeds > 1 else 0.0
    share = of_seeds / error**2
    freedom = 1 / (share / max(1, num_seeds - 1) + (1 - share) / max(1.0, by_images))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p_value = 2 * float(t.sf(abs(centre) / error, freedom))
    return Difference(float(by_seed.mean()), max(centre - reach, -1.0), min(centre + reach, 1.0), p_value)


def compare_by_class(
    before: np.ndarray, after: np.ndarray, targets: np.ndarray, num_classes: int, *, weights: np.ndarray, seed: int
) -> ClassDifferences:
    """The differences of two models within each class of test images.

    `before`, `after` (S, n) bool and `weights` (n,) as for `compare_models`; `targets` (n,) int64: the images' true
    classes in 0 .. K-1, -1 for one that is no test image.
    """
    out = np.full((5, num_classes), np.nan)
    num_images = np.bincount(targets[targets >= 0], minlength=num_classes)
    for k in np.flatnonzero(num_images):
        mine = targets == k
        w, strata = weights[mine], np.zeros(int(num_images[k]), np.int64)
        result = compare_models(before[:, mine], after[:, mine], weights=w, strata=strata, seed=seed)
        shares = [float((right[:, mine] @ w).mean() / w.sum()) for right in (before, after)]
        out[:, k] = *shares, result.low, result.high, result.p_value
    known = ~np.isnan(out[4])
    if known.any():
        out[4, known] = false_discovery_control(out[4, known], method="bh")
    return ClassDifferences(num_images, *out)


def mean_accuracy(right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted accuracy of each seed (S,) float64, for `right` (S, n) bool and `weights` (n,)."""
    shares: np.ndarray = right @ weights / weights.sum()
    return shares


def spread_over_slots(weights: np.ndarray, num_slots: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A list of rows of a given length that contains each row at least once, and in which rows count by their weights.

    It gives sets of different sizes the same number of batches for any batch size; `num_slots` is the size of the
    largest set. `weights` (n,) float > 0, n <= `num_slots`. Returns rows (num_slots,) int64, heavier rows more often
    (systematic sampling of the slots beyond one each), and their weights (num_slots,) float32: each row's weight
    divided by its number of slots.
    """
    num = len(weights)
    assert 0 < num <= num_slots
    counts = np.ones(num, np.int64)
    excess = np.maximum(num_slots * weights / weights.sum() - 1, 0)
    if num_slots > num:
        order = rng.permutation(num)
        ends = np.cumsum(excess[order]) * ((num_slots - num) / excess.sum())
        ends[-1] = num_slots - num
        marks = np.floor(ends + rng.random()).astype(np.int64)
        counts[order] += np.diff(marks, prepend=0)
    rows = np.repeat(np.arange(num), counts)
    return rows, (weights / counts)[rows].astype(np.float32)


def _draw_means(
    difference: np.ndarray, weights: np.ndarray, strata: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Means over resampled images for each seed (B, S) float64, and the mean around which they vary.

    Images with equal weights and equal differences in all S seeds form one pattern; there are few patterns, whatever
    the number of images.
    """
    num_seeds = len(difference)
    sums, totals = np.zeros((_NUM_DRAWS, num_seeds)), np.zeros(_NUM_DRAWS)
    expected = expected_total = 0.0
    for stratum in np.unique(strata):
        mine = strata == stratum
        rows = np.column_stack([weights[mine], difference[:, mine].T])  # (n, 1 + S)
        patterns, masses = np.unique(rows, axis=0, return_counts=True)
        counted = weights[mine][weights[mine] > 0]
        usual = float(counted.mean()) if len(counted) else 0.0
        added = np.array([[usual, *[sign] * num_seeds] for sign, _ in _PSEUDO])
        patterns = np.concatenate([patterns, added])
        shares = np.concatenate([masses, [mass for _, mass in _PSEUDO]])
        shares = shares / shares.sum()
        counts = rng.multinomial(int(mine.sum()), shares, size=_NUM_DRAWS) * patterns[:, 0]  # (B, patterns)
        sums += counts @ patterns[:, 1:]
        totals += counts.sum(1)
        usual_counts = mine.sum() * shares * patterns[:, 0]
        expected += float((usual_counts @ patterns[:, 1:]).mean())
        expected_total += float(usual_counts.sum())
    return sums / np.maximum(totals, 1e-12)[:, None], expected / expected_total
