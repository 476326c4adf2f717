"""Class probabilities by chunk, reduced to what the label rules need: never a matrix of images x classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from cleaner.scoring.out_of_fold import OutOfFold

NUM_OTHERS = 31
"""How many of the most probable other classes are kept of each image."""


class Predicts(Protocol):
    """Anything that has class probabilities for images."""

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Class probabilities of images given by row number (n,), in chunks.

        Yields (slice into `rows`, (B, K) float32, rows sum to 1).
        """


Model = TypeVar("Model", bound=Predicts)


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


def predict_held_out(model: Predicts, held_out: HeldOut) -> OutOfFold:
    """Predictions for images that the model did not learn from.

    Ties count against the given label only if the other class has the smaller number, so ranks are unique.
    """
    num_others = min(held_out.num_others, len(held_out.scorable) - 1)
    result = OutOfFold.empty(held_out.given, num_others)
    for part, probs in model.predict(held_out.rows):
        own = held_out.given[part]
        line = np.arange(len(own))
        confidence = probs[line, own]
        tied_before = (probs == confidence[:, None]) & (np.arange(probs.shape[1]) < own[:, None])
        above = (probs > confidence[:, None]).sum(1) + tied_before.sum(1)
        known = held_out.scorable[own]
        result.given_rank[part] = np.where(known, above, -1)
        result.self_confidence[part] = np.where(known, confidence, np.nan)
        best = probs.argmax(1)
        result.predicted[part] = best
        result.predicted_confidence[part] = probs[line, best]
        if num_others:
            rest = probs.copy()
            rest[line, own] = -1
            result.others[part], result.others_confidence[part] = find_largest(rest, num_others)
    return result


def find_largest(values: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns of the `num` largest `values` (n, K) of each row, and those values, both (n, num) in falling order.

    `num` from 1 to K - 1. Of equal ones that are returned the first column comes first.
    """
    columns = np.argpartition(values, values.shape[1] - num, axis=1)[:, -num:]
    columns.sort(axis=1)
    found = np.take_along_axis(values, columns, 1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1), np.take_along_axis(found, order, 1)


def predict_each(models: Sequence[Model], held_out: Sequence[HeldOut]) -> list[tuple[Model, OutOfFold]]:
    """Each of M models with its predictions for its own held-out images, one of the M `held_out`."""
    return [(model, predict_held_out(model, images)) for model, images in zip(models, held_out, strict=True)]
