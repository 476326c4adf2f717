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
    num_passes: int
    of_class: np.ndarray | None
    """(K,) int64: rows drawn of each class in the one pass; None: all rows, in each of the passes."""
    share: np.ndarray
    """(K,) float64: draws for each row that is learned from."""

    @classmethod
    def of(cls, job: FitJob, num_epochs: int) -> DrawnRows:
        """What is drawn in a fit of so many epochs."""
        most = most_draws(job.num_classes)
        if num_epochs * len(job.rows) <= most:
            return cls(job, num_epochs, None, np.ones(job.num_classes))
        sizes = np.bincount(job.targets[job.sample_weights.max(0) > 0], minlength=job.num_classes)
        of_class = np.minimum(num_epochs * sizes, _find_level(num_epochs * sizes, most))
        return cls(job, 1, of_class, of_class / np.maximum(sizes, 1))

    @property
    def pass_rows(self) -> int:
        """Rows drawn in a pass."""
        return len(self.job.rows) if self.of_class is None else int(self.of_class.sum())

    @cached_property
    def class_weights(self) -> np.ndarray:
        """(M, K) float64: the weight of each class in each model, in the rows drawn."""
        weights: np.ndarray = self.job.class_weights * self.share
        return weights

    @property
    def log_prior(self) -> np.ndarray:
        """(M, K) float32: see `FitJob.log_prior`, of the rows drawn."""
        return log_priors(self.class_weights)

    def order(self, generator: torch.Generator) -> torch.Tensor:
        """The rows of a pass in random order, by their position in those of the job."""
        num = len(self.job.rows)
        if self.of_class is None:
            return torch.randperm(num, generator=generator)
        shuffled = torch.randperm(num, generator=generator).numpy()
        shuffled = shuffled[self.job.sample_weights.max(0)[shuffled] > 0]
        targets = self.job.targets[shuffled]
        by_class = np.argsort(targets, kind="stable")
        shuffled, targets = shuffled[by_class], targets[by_class]
        sizes = np.bincount(targets, minlength=self.job.num_classes)
        place = np.arange(len(targets)) - (np.cumsum(sizes) - sizes)[targets]
        times, more = np.divmod(self.of_class, np.maximum(sizes, 1))
        drawn = torch.from_numpy(np.repeat(shuffled, times[targets] + (place < more[targets])))
        return drawn[torch.randperm(len(drawn), generator=generator)]


def _find_level(sizes: np.ndarray, most: int) -> int:
    """The largest bound of single `sizes` (K,) int64 under which they make no more than `most`."""
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= most else (low, middle - 1)
    return low
