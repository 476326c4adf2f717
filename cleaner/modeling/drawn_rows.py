"""Which rows a linear head by steps is trained on, and how often: all of a small set, as many of a large one as do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from cleaner.modeling.learner import FitJob, log_priors

_DRAWS_PER_CLASS, _LEAST_DRAWS = 500, 300_000
"""A fit may draw so many rows x classes, or so many if that is more: more images are not trained on longer, or a head
would learn the wrong labels too (docs/experiments.md)."""


def most_draws(num_classes: int) -> int:
    """Rows that a fit may draw."""
    return max(_DRAWS_PER_CLASS * num_classes, _LEAST_DRAWS)


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """How often a fit draws which rows, and what they weigh.

    All rows once an epoch or, where that is more than a fit may draw, as many of each class as make it, so that none
    but large classes lose any. Then rows that no model learns from are not drawn.
    """

    job: FitJob
    num_epochs: int

    @property
    def is_whole(self) -> bool:
        """Whether all rows are drawn, once an epoch."""
        return self.num_epochs * len(self.job.rows) <= most_draws(self.job.num_classes)

    @property
    def num_passes(self) -> int:
        """How often rows are drawn anew."""
        return self.num_epochs if self.is_whole else 1

    @property
    def pass_rows(self) -> int:
        """Rows drawn in a pass."""
        return len(self.job.rows) if self.is_whole else int(self._of_class.sum())

    @cached_property
    def class_weights(self) -> np.ndarray:
        """(M, K) float64: the weight of each class in each model, in the rows drawn."""
        if self.is_whole:
            return self.job.class_weights
        weights: np.ndarray = self.job.class_weights * (self._of_class / np.maximum(self._sizes, 1))
        return weights

    @property
    def log_prior(self) -> np.ndarray:
        """(M, K) float32: see `FitJob.log_prior`, of the rows drawn."""
        return log_priors(self.class_weights)

    def order(self, generator: torch.Generator) -> torch.Tensor:
        """The rows of a pass in random order, by their position in those of the job."""
        shuffled = torch.randperm(len(self.job.rows), generator=generator)
        if self.is_whole:
            return shuffled
        positions = shuffled.numpy()
        positions = positions[self._is_learned[positions]]
        positions = positions[np.argsort(self.job.targets[positions], kind="stable")]
        targets = self.job.targets[positions]
        place = np.arange(len(targets)) - (np.cumsum(self._sizes) - self._sizes)[targets]
        times, more = np.divmod(self._of_class, np.maximum(self._sizes, 1))
        drawn = torch.from_numpy(np.repeat(positions, times[targets] + (place < more[targets])))
        return drawn[torch.randperm(len(drawn), generator=generator)]

    @cached_property
    def _is_learned(self) -> np.ndarray:
        """(n,) bool: rows that a model learns from."""
        learned: np.ndarray = self.job.sample_weights.max(0) > 0
        return learned

    @cached_property
    def _sizes(self) -> np.ndarray:
        """(K,) int64: such rows of each class."""
        return np.bincount(self.job.targets[self._is_learned], minlength=self.job.num_classes)

    @cached_property
    def _of_class(self) -> np.ndarray:
        """(K,) int64: rows drawn of each class in the one pass over a part of them."""
        wanted: np.ndarray = self.num_epochs * self._sizes
        return wanted.clip(max=_find_level(wanted, most_draws(self.job.num_classes)))


def _find_level(sizes: np.ndarray, most: int) -> int:
    """The largest bound of single `sizes` (K,) int64 under which they make no more than `most`."""
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= most else (low, middle - 1)
    return low
