"""What the EM over label noise knows of each image, read in chunks: never a temporary over all images and classes.

Of many classes the given one and the most probable others are listed, and the rest has a row of its own. Without it a
softer temperature would look likelier than it is: it raises the given class, which is always listed, and what it raises
in the rest would be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
from scipy.optimize import minimize_scalar

from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold, class_dtype
from cleaner.threads import map_in_threads, num_arithmetic_threads

T = TypeVar("T")
CHUNK_ROWS = 4096
"""Images whose temporaries exist at a time: few enough to stay in the processor's cache."""
SAMPLE_ROWS = 12_500
_CALIBRATING = (0.2, 4.0)
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Chunk:
    """c consecutive images of an Evidence. Arrays over classes and images are (1 + m, c), the given class first, or
    (1 + m + r, c) with a last row for the classes that are not listed: r is 1 if there are any, else 0.
    """

    part: slice
    """Which of the evidence's n images."""
    num_classes: int
    classes: np.ndarray
    """(1 + m, c) int64; 0 where there is none."""
    log_probs: np.ndarray
    """(1 + m + r, c) float32; -inf where there is none; last that of a class that is not listed."""
    given: np.ndarray
    """(c,) int64, ascending."""
    free: np.ndarray
    """(c,) bool: no person spoke."""

    @property
    def num_listed(self) -> int:
        """1 + m."""
        return len(self.classes)

    @property
    def band(self) -> slice:
        """The given classes, from the first to the last."""
        return slice(int(self.given[0]), int(self.given[-1]) + 1)

    @cached_property
    def pairs(self) -> np.ndarray:
        """(1 + m, c) int64: given and right class as one number, an index into the flat rows `band` of a matrix (K, K)
        of given by right classes."""
        pairs: np.ndarray = self.classes + (self.given - self.given[0]) * self.num_classes
        return pairs


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of n labels, in the order of the given classes.

    Images of one given class lie together, so that the rows of a K x K matrix that a chunk reads and adds to are few.
    """

    num_classes: int
    order: np.ndarray
    """(n,) int64: which image each row is."""
    classes: np.ndarray
    """(1 + m, n) of `class_dtype`: the given class, then the most probable others; 0 where there is none."""
    log_probs: np.ndarray
    """(1 + m + r, n) float32: the model's log probabilities of them; -inf where there is none. If there are more
    classes, the last row is the mean over those that are not listed.
    """
    decided: np.ndarray
    """(n,) int64: the right class where a person gave it, else UNDECIDED or NO_CLASS."""

    @classmethod
    def of(cls, predictions: OutOfFold, num_classes: int, decided: np.ndarray) -> Evidence:
        """From out-of-fold predictions for the n images, and verdicts (n,) on them."""
        order = np.argsort(predictions.given, kind="stable")
        listed, num = 1 + predictions.others.shape[1], len(order)
        num_rest = num_classes - listed
        classes = np.empty((listed, num), class_dtype(num_classes))
        log_probs = np.empty((listed + (num_rest > 0), num), np.float32)
        for start in range(0, len(order), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            some = predictions.take(order[part])
            there = some.classes.T >= 0
            classes[:, part] = np.where(there, some.classes.T, 0)
            logs = np.log(np.maximum(some.probs.T, _TINY))
            log_probs[:listed, part] = np.where(there, logs, -np.inf)
            if num_rest > 0:
                log_probs[listed, part] = _log_rest(some, num_rest)
        return cls(num_classes, order, classes, log_probs, decided[order])

    def map(self, function: Callable[[Chunk], T]) -> Iterator[tuple[Chunk, T]]:
        """All rows in their order, and what `function` makes of them, in as many threads as arithmetic has."""
        return map_in_threads(function, self.chunks(), min(self._num_threads, -(-len(self.order) // CHUNK_ROWS)))

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in their order."""
        for start in range(0, len(self.order), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            classes = self.classes[:, part].astype(np.int64)
            yield Chunk(part, self.num_classes, classes, self.log_probs[:, part], classes[0], self.free[part])

    @cached_property
    def _num_threads(self) -> int:
        return num_arithmetic_threads()

    @cached_property
    def free(self) -> np.ndarray:
        """(n,) bool: no person spoke."""
        free: np.ndarray = self.decided == UNDECIDED
        return free

    @cached_property
    def num_rows(self) -> int:
        """How many rows have a class."""
        return max(1, int((self.decided != NO_CLASS).sum()))

    @cached_property
    def sample(self) -> Evidence:
        """At most 25,000 of the images: the temperature is chosen on them."""
        return self.sample_of(SAMPLE_ROWS)

    def sample_of(self, num: int) -> Evidence:
        """At even distances, `num` of the images or up to twice as many; all, if there are no more."""
        every = max(1, len(self.order) // num)
        if every == 1:
            return self
        rows = np.flatnonzero(self.order % every == 0)
        arrays = (self.order[rows], self.classes[:, rows], self.log_probs[:, rows], self.decided[rows])
        return Evidence(self.num_classes, *arrays)

    @cached_property
    def looks(self) -> np.ndarray:
        """(n,) float32: probability of the given label, calibrated: how often one like it is given to such images."""
        temperature = np.float32(self.sample.calibration)
        looks = np.empty(len(self.order), np.float32)
        for chunk, found in self.map(partial(self._given_under, temperature)):
            looks[chunk.part] = found
        return np.maximum(looks, np.float32(1e-6))

    @cached_property
    def calibration(self) -> float:
        """The temperature under which the given labels of all rows are most likely."""
        if not self.free.any():
            return 1.0

        def loss(log_temperature: float) -> float:
            temperature, total = np.float32(np.exp(log_temperature)), 0.0
            for chunk in self.chunks():
                given = self._given_under(temperature, chunk)[chunk.free]
                total += float(np.log(given + _TINY).sum(dtype=np.float64))
            return -total / int(self.free.sum())

        found = minimize_scalar(loss, bounds=np.log(_CALIBRATING), method="bounded", options={"xatol": 0.01})
        return float(np.exp(found.x))

    def _given_under(self, temperature: np.float32, chunk: Chunk) -> np.ndarray:
        """Probability of the given label (c,) float32."""
        logits = chunk.log_probs / temperature
        logits[chunk.num_listed :] += np.float32(np.log(max(1, self.num_classes - chunk.num_listed)))
        given: np.ndarray = softmax(logits)[0]
        return given


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over classes, the first axis, in place of `logits`."""
    logits -= logits.max(0)
    np.exp(logits, out=logits)
    logits /= logits.sum(0)
    return logits


def _log_rest(predictions: OutOfFold, num_rest: int) -> np.ndarray:
    """Log of the mean probability (n,) float64 of the `num_rest` classes that are not listed, -inf for 0.

    It is what the listed ones leave of 1, but never more than the last of them has, as rounding errors might be.
    """
    left = 1 - predictions.probs.sum(1, dtype=np.float64)
    with np.errstate(divide="ignore"):
        logs: np.ndarray = np.log(np.clip(left / num_rest, 0, predictions.others_confidence[:, -1]))
    return logs
