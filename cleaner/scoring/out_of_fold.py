"""Out-of-fold predictions: what models that did not learn from an image predict for it. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

UNDECIDED = -1
"""Where class numbers stand for people's verdicts: no verdict."""
NO_CLASS = -2
"""Likewise: a person says that the image belongs to no class."""


def class_dtype(num_classes: int) -> np.dtype[np.signedinteger[Any]]:
    """The type in which many numbers of K classes, or -1, are kept: int16 where it holds them, else int32."""
    return np.dtype(np.int16 if num_classes <= np.iinfo(np.int16).max else np.int32)


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions for n images: of each, the given class and the m most probable others."""

    given: np.ndarray
    """(n,) int64 class numbers."""
    given_rank: np.ndarray
    """(n,) int32: how many classes are more probable than the given one; -1 where it cannot be scored."""
    self_confidence: np.ndarray
    """(n,) float32: probability of the given class; NaN where it cannot be scored."""
    predicted: np.ndarray
    """(n,) int32: the most probable class."""
    predicted_confidence: np.ndarray
    """(n,) float32: its probability."""
    others: np.ndarray
    """(n, m) of `class_dtype`: the most probable classes besides the given one, in falling order; m may be 0."""
    others_confidence: np.ndarray
    """(n, m) float32: their probabilities."""

    @classmethod
    def empty(cls, given: np.ndarray, num_classes: int, num_others: int = 0) -> OutOfFold:
        """Room for the predictions of images with these `given` classes (n,), of K; nothing is predicted yet."""
        num = len(given)
        return cls(
            given,
            np.full(num, -1, np.int32),
            np.full(num, np.nan, np.float32),
            np.full(num, -1, np.int32),
            np.full(num, np.nan, np.float32),
            np.full((num, num_others), -1, class_dtype(num_classes)),
            np.zeros((num, num_others), np.float32),
        )

    @classmethod
    def from_arrays(cls, given: np.ndarray, arrays: dict[str, np.ndarray]) -> OutOfFold:
        """The inverse of `arrays`, which leaves out what is given."""
        return cls(given, **{field.name: arrays[field.name] for field in fields(cls)[1:]})

    def arrays(self) -> dict[str, np.ndarray]:
        """What was predicted, as named arrays: all fields but `given`."""
        return {field.name: getattr(self, field.name) for field in fields(self)[1:]}

    def take(self, rows: np.ndarray | slice) -> OutOfFold:
        """The predictions for some of the images, by number."""
        return OutOfFold(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: np.ndarray | slice, part: OutOfFold) -> None:
        """Fill in the predictions for some of the images, by number; `part` has as many others."""
        for name, values in part.arrays().items():
            getattr(self, name)[rows] = values

    @cached_property
    def classes(self) -> np.ndarray:
        """(n, 1 + m) int64: the given class, then the others; -1: none."""
        return np.concatenate([self.given[:, None], self.others.astype(np.int64)], 1)

    @cached_property
    def probs(self) -> np.ndarray:
        """(n, 1 + m) float32: probabilities of `classes`; 0 where the given class cannot be scored."""
        return np.concatenate([np.nan_to_num(self.self_confidence)[:, None], self.others_confidence], 1)
