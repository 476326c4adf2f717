"""Class probabilities by chunk, reduced to what the label rules need: never a matrix of images x classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cleaner.scoring.out_of_fold import OutOfFold

NUM_OTHERS = 31
"""How many of the most probable other classes are kept of each image."""
_PARTS = 4
"""A row of probabilities is cut into this many parts for each of the largest that are looked for."""


class Predicts(Protocol):
    """Anything that has class probabilities for images."""

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Class probabilities of images given by row number (n,), in chunks.

        Yields (slice into `rows`, (B, K) float32, rows sum to 1).
        """


@dataclass(frozen=True)
class HeldOut:
    """Images that a model does not learn from and predicts."""

    rows: np.ndarray
    """(n,) int64 row numbers."""
    given: np.ndarray
    """(n,) int64: their given classes."""
    scorable: np.ndarray
    """(K,) bool: classes that the model learns."""
    num_others: int = 0
    """How many of the most probable other classes to keep."""


@dataclass(frozen=True)
class HeldOutByModel:
    """n images, each held out by one of M models, which predicts it."""

    rows: np.ndarray
    """(n,) int64 row numbers."""
    given: np.ndarray
    """(n,) int64: their given classes."""
    model: np.ndarray
    """(n,) int64 from 0."""
    scorable: np.ndarray
    """(M, K) bool: classes that each model learns."""
    num_others: int = 0
    """How many of the most probable other classes to keep."""

    def places(self, number: int) -> np.ndarray:
        """Which of the n images a model predicts, by number."""
        return np.flatnonzero(self.model == number)

    def of(self, number: int) -> HeldOut:
        """What a model predicts."""
        mine = self.places(number)
        return HeldOut(self.rows[mine], self.given[mine], self.scorable[number], self.num_others)

    def join(self, parts: Iterable[OutOfFold]) -> OutOfFold:
        """The predictions of all images from those of each model, in turn."""
        num_classes = self.scorable.shape[1]
        result = OutOfFold.empty(self.given, num_classes, min(self.num_others, num_classes - 1))
        for number, part in enumerate(parts):
            result.put(self.places(number), part)
        return result


def predict_held_out(model: Predicts, held_out: HeldOut) -> OutOfFold:
    """Predictions for images that the model did not learn from.

    Ties count against the given label only if the other class has the smaller number, so ranks are unique.
    """
    num_others = min(held_out.num_others, len(held_out.scorable) - 1)
    result = OutOfFold.empty(held_out.given, len(held_out.scorable), num_others)
    for part, probs in model.predict(held_out.rows):
        reduce_probs(result, part, probs, held_out.scorable)
    return result


def reduce_probs(result: OutOfFold, part: slice, probs: np.ndarray, scorable: np.ndarray) -> None:
    """Fill in the rows `part` of `result` from their class probabilities (B, K); see `predict_held_out`."""
    own = result.given[part]
    line = np.arange(len(own))
    known, confidence = scorable[own], probs[line, own]
    result.given_rank[part] = np.where(known, _rank(probs, own), -1)
    result.self_confidence[part] = np.where(known, confidence, np.nan)
    best = probs.argmax(1)
    result.predicted[part] = best
    result.predicted_confidence[part] = probs[line, best]
    if result.others.shape[1]:
        rest = probs.copy()
        rest[line, own] = -1
        result.others[part], result.others_confidence[part] = find_largest(rest, result.others.shape[1])


def _rank(probs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How many classes come before the class `own` (B,) in each row of `probs` (B, K), (B,) int32."""
    confidence = probs[np.arange(len(own)), own][:, None]
    above, level = _count(probs > confidence), _count(probs == confidence)
    tied = np.flatnonzero(level > 1)
    if len(tied):
        before = np.arange(probs.shape[1]) < own[tied, None]
        above[tied] += _count((probs[tied] == confidence[tied]) & before)
    return above


def _count(marked: np.ndarray) -> np.ndarray:
    """How many of each row of `marked` (B, K) bool are set, (B,) int32."""
    counts: np.ndarray = marked.view(np.int8).sum(1, dtype=np.int32)  # twice as fast as summing truth values
    return counts


def find_largest(values: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns of the `num` largest `values` (n, K) of each row, and those values, both (n, num) in falling order.

    `num` from 1 to K - 1. Of equal ones that are returned the first column comes first.
    """
    candidates = _find_candidates(values, num)
    if candidates is None:
        columns = np.argpartition(values, values.shape[1] - num, axis=1)[:, -num:]
        columns.sort(axis=1)
        candidates = columns, np.take_along_axis(values, columns, 1)
    columns, found = candidates
    order = np.argsort(-found, axis=1, kind="stable")[:, :num]
    return np.take_along_axis(columns, order, 1), np.take_along_axis(found, order, 1)


def _find_candidates(values: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns (n, c) of `values` (n, K) in rising order, few more than `num`, and their values, -inf where there is
    none: the `num` largest of each row are among them. None where that is no use.

    A row is cut into parts. Of their maxima `num` are at least the `num`th largest of these, so the `num` largest
    values are at least that, too. With thousands of classes it takes an eighth of the time of a partition.
    """
    num_rows, num_columns = values.shape
    depth = num_columns // (_PARTS * num)
    if depth < 2:
        return None
    num_parts = num_columns // depth
    maxima = values[:, : depth * num_parts].reshape(num_rows, depth, num_parts).max(1)
    bounds = np.partition(maxima, num_parts - num, axis=1)[:, num_parts - num]
    cells = np.flatnonzero(values >= bounds[:, None])
    if len(cells) > _PARTS * num * num_rows:  # many are equal
        return None
    rows, there = np.divmod(cells, num_columns)
    sizes = np.bincount(rows, minlength=num_rows)
    place = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[rows]
    columns = np.zeros((num_rows, int(sizes.max(initial=num))), np.int64)
    found = np.full(columns.shape, -np.inf, values.dtype)
    columns[rows, place], found[rows, place] = there, values.ravel()[cells]
    return columns, found


def predict_by_model(models: Sequence[Predicts], held_out: HeldOutByModel) -> OutOfFold:
    """The predictions of all images, each by its own of the M models."""
    return held_out.join(predict_held_out(model, held_out.of(number)) for number, model in enumerate(models))
