"""Inference from a random sample to a whole set: exact intervals, weighted totals, and looks needed for a goal.

What is left in the kept set is bounded by a confidence sequence (scoring/confidence_sequence.py), because people look
on until a bound is low enough; an exact bound for one number of looks misleads them (benchmarks/audit_coverage.py).
Intervals are for the looks done: Clopper & Pearson, Biometrika 26 (1934) 404-413, in the beta form of Brown, Cai &
DasGupta, Statistical Science 16 (2001) 101-133, section 4.2.1; Bonferroni's inequality for the weighted total. Draws
are without replacement from a finite set, so the number found is hypergeometric and varies less than the binomial that
the intervals assume: they are too wide, never too narrow. A stratum of which every image was looked at has no
uncertainty.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from cleaner.scoring.confidence_sequence import CLEAN_PRIOR, ConfidenceSequence

CONFIDENCE = 0.95
"""Default confidence of every interval and bound."""


@dataclass(frozen=True)
class Stratum:
    """A part of the set, and the results of a random sample of it."""

    size: int
    """Images in this part."""
    num_looks: int
    """Images that were looked at; if all were, the share is known exactly."""
    num_bad: int
    """Bad images among those."""

    def __post_init__(self) -> None:
        assert 0 <= self.num_bad <= self.num_looks <= self.size, self


@dataclass(frozen=True)
class Estimate:
    """A share of bad images, all values in 0 .. 1."""

    share: float | None
    """The best estimate; None if some part was not looked at."""
    low: float
    high: float
    """Ends of the two-sided interval."""
    upper: float
    """The one-sided upper bound; of what is left in the kept set one that holds however often one looks."""


def clopper_pearson(num_bad: int, num_looks: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided interval of a share, from `num_bad` in `num_looks` independent looks.

    low = B(a/2; k, n-k+1), high = B(1-a/2; k+1, n-k) with a = 1 - confidence and B the quantile of the beta
    distribution; 0 where k = 0, 1 where k = n. It covers the truth with probability `confidence` or more.
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, num_bad, num_looks - num_bad + 1)) if num_bad > 0 else 0.0
    return low, upper_bound(num_bad, num_looks, 1 - tail)


def upper_bound(num_bad: int, num_looks: int, confidence: float = CONFIDENCE) -> float:
    """Exact one-sided upper bound of a share: B(confidence; k+1, n-k); 1 where k = n.

    For k = 0 that is 1 - (1 - confidence)^(1/n): 0 of 300 leaves 0.99 % (the "rule of three" says 3/n).
    """
    if num_bad >= num_looks:
        return 1.0
    return float(beta.ppf(confidence, num_bad + 1, num_looks - num_bad))


def watch_answers(num_known: int, num_known_bad: int, num_fresh: int, answers: Iterable[bool]) -> ConfidenceSequence:
    """What answers to a random sample say, whenever one asks: bad or not, in the order in which they were drawn.

    Of the set `num_known` rows were known beforehand, `num_known_bad` of them bad; the sample is of `num_fresh` others.
    """
    sequence = ConfidenceSequence(num_known + num_fresh, CONFIDENCE, CLEAN_PRIOR)
    sequence.reveal(num_known, num_known_bad)
    for is_bad in answers:
        sequence.draw(is_bad)
    return sequence


def count_more_looks(sequence: ConfidenceSequence, size: int, goal: float) -> int | None:
    """Further looks after which at most a share `goal` of `size` rows can be bad, if they find nothing.

    None if more bad rows are known already.
    """
    if sequence.found > goal * size:
        return None
    return _count_looks(copy.deepcopy(sequence), size, goal, rate=0.0)


def plan_looks(size: int, goal: float, rate: float = 0.0) -> int:
    """Looks after which at most a share `goal` of `size` rows can be bad, if a share `rate` of those looked at is.

    The finds are spread evenly over the looks. The rate is below the goal.
    """
    return _count_looks(watch_answers(0, 0, size, ()), size, goal, rate)


def _count_looks(sequence: ConfidenceSequence, size: int, goal: float, rate: float) -> int:
    num = 0
    while sequence.upper > goal * size:
        num += 1
        sequence.draw(round(num * rate) > round((num - 1) * rate))
    return num


def estimate_total(strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> Estimate:
    """The share of bad images over all strata, weighted by their sizes W_h = N_h / N.

    share = sum W_h k_h / n_h. Each bound is sum W_h b_h, with b_h the stratum's own exact bound at the confidence
    1 - (1 - confidence) / H, where H counts the sampled strata (those looked at in full are exact). By
    Bonferroni's inequality all H bounds hold at once with probability `confidence` at least, and then so does their
    sum: conservative, and for H = 1 the plain Clopper-Pearson interval.
    """
    parts = [s for s in strata if s.size]
    num_all = sum(s.size for s in parts)
    if not num_all:
        return Estimate(None, 0.0, 0.0, 0.0)
    each = 1 - (1 - confidence) / max(1, sum(s.num_looks < s.size for s in parts))
    bounds = np.array([_bounds(s, each) for s in parts])  # (H, 3)
    weights = np.array([s.size for s in parts]) / num_all
    low, high, upper = (float(v) for v in weights @ bounds)
    guesses = [s.num_bad / s.num_looks for s in parts if s.num_looks]
    share = float(weights @ np.array(guesses)) if len(guesses) == len(parts) else None
    return Estimate(share, low, min(high, 1.0), min(upper, 1.0))


def _bounds(stratum: Stratum, confidence: float) -> tuple[float, float, float]:
    if stratum.num_looks == stratum.size:
        share = stratum.num_bad / stratum.size
        return share, share, share
    low, high = clopper_pearson(stratum.num_bad, stratum.num_looks, confidence)
    return low, high, upper_bound(stratum.num_bad, stratum.num_looks, confidence)


def draw_rows(size: int, num: int, *, seed: int, stream: int) -> np.ndarray:
    """`num` of `size` rows (n,) int64, at random without repetition; all of them if there are fewer.

    A larger `num` with the same seed and stream gives the same rows first, so that a sample can grow.
    """
    order: np.ndarray = np.random.default_rng([seed, stream]).permutation(size)
    return order[:num].astype(np.int64)
