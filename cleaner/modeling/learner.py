"""The seam between the rounds and what is trained in them: a Learner fits, a Predictor yields in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.modeling.recipes import Recipe
from cleaner.scoring.held_out import HeldOutByModel, Predicts
from cleaner.scoring.out_of_fold import OutOfFold

NEVER = -1e4
"""Bias of a class without training rows: its probability is 0."""
_NO_ROWS = -30.0
"""Log prior of a class that a model has no rows of."""


class Predictor(Predicts, Protocol):
    """A fitted model."""

    def state(self) -> Arrays:
        """All of the model's arrays by name, as its checkpoint holds them."""


@dataclass(frozen=True, kw_only=True)
class ModelJob:
    """One model to be fitted."""

    rows: np.ndarray
    """(n,) int64 row numbers."""
    targets: np.ndarray
    """(n,) int64 class numbers in 0 .. K-1."""
    weights: np.ndarray
    """(n,) float32 >= 0; 0 leaves a row out."""
    log_prior: np.ndarray
    """(K,) float32, see FitJob."""
    recipe: Recipe
    seed: int
    folder: Path | None
    """Where its checkpoints go; None: nowhere."""


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """M models to be fitted to the same rows, each with its own weights."""

    rows: np.ndarray
    """(n,) int64 row numbers."""
    targets: np.ndarray
    """(n,) int64 class numbers in 0 .. K-1."""
    sample_weights: np.ndarray
    """(M, n) float32 >= 0; 0 leaves a row out of a model."""
    num_classes: int
    """K."""
    recipe: Recipe
    seed: int
    checkpoint_dir: Path | None = None
    """Where an interrupted fit is resumed from; None: nowhere."""
    on_epoch: Callable[[], None] = lambda: None
    """Called after each epoch of all models."""

    @cached_property
    def class_weights(self) -> np.ndarray:
        """(M, K) float64: the total weight of each class in each model; 0: the model cannot learn it."""
        return np.stack([np.bincount(self.targets, w, self.num_classes) for w in self.sample_weights])

    @cached_property
    def log_prior(self) -> np.ndarray:
        """(M, K) float32: added to the logits in training, left out in prediction (Menon et al. 2021)."""
        return log_priors(self.class_weights)

    def models(self) -> list[ModelJob]:
        """The M models one by one, each with a seed and a checkpoint folder of its own."""
        return [
            ModelJob(
                rows=self.rows,
                targets=self.targets,
                weights=weights,
                log_prior=log_prior,
                recipe=self.recipe,
                seed=self.seed * 100 + number,
                folder=None if self.checkpoint_dir is None else self.checkpoint_dir / f"model_{number}",
            )
            for number, (weights, log_prior) in enumerate(zip(self.sample_weights, self.log_prior, strict=True))
        ]


def log_priors(counts: np.ndarray) -> np.ndarray:
    """Log of each class's share, (..., K) float32, from counts or weights (..., K)."""
    shares = counts / np.maximum(counts.sum(-1, keepdims=True), 1e-12)
    return np.where(counts > 0, np.log(np.maximum(shares, 1e-12)), _NO_ROWS).astype(np.float32)


class Learner(Protocol):
    """Trains classifiers on the images it was built over."""

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""

    @property
    def recipes(self) -> Sequence[Recipe]:
        """What the rounds rotate through; round 0 takes the first."""

    @property
    def final_recipe(self) -> Recipe:
        """A training to its end; those of the rounds stop before wrong labels are learned."""

    @property
    def identity(self) -> str:
        """Digest of all that a fit depends on besides its job and the rows' images."""

    @property
    def card(self) -> dict[str, Any]:
        """What the JSON beside a model says of what it takes and yields, except the classes."""

    def fit(self, job: FitJob) -> list[Predictor]:
        """Fit the M models of a job."""

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """Fit the M models of a job, each of which predicts its own held-out images, wherever it was trained."""
