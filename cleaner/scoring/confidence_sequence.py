"""How many bad rows a set can hold at most, from random looks, valid however often and whenever one asks.

A confidence sequence by the prior-posterior-ratio martingale of Waudby-Smith & Ramdas 2020, "Confidence sequences for
sampling without replacement" (NeurIPS), with a beta-binomial prior; here rows may also become known in other ways
between two draws. A draw is uniform over the rows not yet known. If the set holds M bad ones and `found` of them are
known, it is bad with probability (M - found) / (rows not yet known). For the true M the ratio of the draws' likelihood
under all M, weighed by a prior, to that under M itself is a martingale of mean 1 at most, so that it ever reaches 20
with a probability of .05 at most (Ville's inequality): every M for which it once did is ruled out for good.

Of a large set not all M are tried, only the first ten thousand from what is known when the draws begin, and then each
a thousandth further from that than the one before. A prior on these alone is a prior. The likelihood is log-concave in
M, a product of linear functions: where it has fallen so far that a number is ruled out, all larger ones are.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

WIDE_PRIOR = (0.5, 10.0)
"""Beta prior of the share of bad rows, most of it under a tenth: any prior is valid, one near the truth is tighter."""
CLEAN_PRIOR = (0.5, 100.0)
"""Most of it under a hundredth, for sets that were cleaned: 1 % of 10,000 rows is shown after 364 looks that find
nothing (476 with the wide one, 299 by an exact bound that holds for one number of looks alone)."""
_MARGIN = 10
"""Numbers beyond twice the bound and this many more leave the prior from then on: they hold hardly any weight,
and whatever prior forecasts a draw, the ratio stays a martingale under the true number."""
_EACH, _STEP = 10_000, 0.001
"""Numbers of unknown bad rows that are all tried, and the share by which larger ones lie apart."""


class ConfidenceSequence:
    """An upper bound on the number of bad rows in a set of `size` rows, which falls as rows become known.

    With probability `confidence` at least, `upper` is never below the true number, at no time. More than ten thousand
    above what was known when the draws began, it may be a thousandth too high. Memory, and time for each draw, are
    those of ten thousand numbers and a few more. Beforehand nothing is known, and `upper` is `size`; when all is known
    it is exact.
    """

    def __init__(self, size: int, confidence: float = 0.95, prior: tuple[float, float] = WIDE_PRIOR) -> None:
        self._size, self._prior = size, prior
        self._unknown, self._found, self._upper = size, 0, size
        self._limit = -np.log1p(-confidence)
        self._log_ratio = 0.0
        self._tried = np.zeros(0, np.int64)
        self._log_prior = self._log_likelihood = np.zeros(0)

    @property
    def num_unknown(self) -> int:
        """Rows not yet known."""
        return self._unknown

    @property
    def found(self) -> int:
        """Bad rows known."""
        return self._found

    @property
    def upper(self) -> int:
        """The most bad rows that the whole set may hold, those known among them."""
        return max(self._found, min(self._upper, self._found + self._unknown))

    @property
    def upper_left(self) -> int:
        """The most bad rows among those not yet known."""
        return self.upper - self._found

    def reveal(self, num: int, num_bad: int) -> None:
        """Take note of `num` rows, `num_bad` of them bad, that became known in another way than by a random draw."""
        assert 0 <= num_bad <= num <= self._unknown, (num, num_bad, self._unknown)
        self._unknown -= num
        self._found += num_bad

    def draw(self, is_bad: bool) -> None:
        """Take note of a row drawn uniformly at random from those not yet known."""
        assert self._unknown, "all rows are known"
        if not len(self._tried):
            self._begin()
        most = self._found + min(self._unknown, 2 * self.upper - self._found + _MARGIN)
        first, end = np.searchsorted(self._tried, (self._found, most + 1)).tolist()
        if first < end:  # so many may have been revealed that none is left; the clamp of `upper` remains
            self._weigh(is_bad, slice(first, end))
        self._unknown -= 1
        self._found += int(is_bad)

    def _begin(self) -> None:
        """Choose the numbers (m,) int64 that are tried, ascending, with log weights that add up to about 1."""
        steps = np.arange(min(self._unknown, _EACH) + 1)
        if self._unknown > _EACH:
            num = int(np.ceil(np.log(self._unknown / _EACH) / _STEP)) + 1
            steps = np.union1d(steps, np.geomspace(_EACH, self._unknown, num).round().astype(np.int64))
        self._tried = tried = self._found + steps
        a, b = self._prior
        log_choose = -np.log(self._size + 1.0) - betaln(self._size - tried + 1.0, tried + 1.0)
        log_density = log_choose + betaln(tried + a, self._size - tried + b) - betaln(a, b)
        self._log_prior = log_density + np.log(np.diff(tried, append=tried[-1] + 1))
        self._log_likelihood = np.zeros(len(tried))

    def _weigh(self, is_bad: bool, possible: slice) -> None:
        """What a draw says of the numbers that are `possible`."""
        log_weight = self._log_prior[possible] + self._log_likelihood[possible]
        bad_left = self._tried[possible] - self._found
        with np.errstate(divide="ignore"):
            log_prob = np.log(bad_left if is_bad else self._unknown - bad_left) - np.log(self._unknown)
        self._log_ratio += _log_sum(log_weight + log_prob) - _log_sum(log_weight)
        self._log_likelihood[possible] += log_prob
        is_open = np.flatnonzero(self._log_ratio - self._log_likelihood[possible] < self._limit)
        after = possible.start + int(is_open[-1]) + 1 if len(is_open) else possible.stop
        if after < possible.stop:  # the first of those that are ruled out
            self._upper = min(self._upper, int(self._tried[after]) - 1)


def _log_sum(values: np.ndarray) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
