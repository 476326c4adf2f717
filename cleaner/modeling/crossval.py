"""Cross-training, and single fits that predict other images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.modeling.learner import FitJob, Learner, Predictor
from cleaner.modeling.predictions import HeldOut
from cleaner.modeling.recipes import Recipe
from cleaner.scoring.out_of_fold import OutOfFold

_NO_ROWS = -30.0
"""Log prior of a class that a model has no rows of."""
NUM_OTHERS = 31
"""How many of the most probable other classes cross-training keeps."""


@dataclass(frozen=True)
class FoldedRows:
    """n labelled images in folds."""

    rows: np.ndarray
    """(n,) int64 row numbers of a learner's images."""
    given: np.ndarray
    """(n,) int64: given classes, which the predictions are compared with."""
    fold: np.ndarray
    """(n,) int64 from 0."""
    weights: np.ndarray
    """(n,) >= 0: how much each row counts where it is learned from; 0: not at all."""
    targets: np.ndarray | None = None
    """(n,) int64: classes to learn, if not the given ones."""


def cross_train(
    learner: Learner,
    images: FoldedRows,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint_dir: Path | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[OutOfFold, list[Predictor]]:
    """Out-of-fold predictions for n images, each by the model that learned from the other folds.

    `checkpoint_dir`: where an interrupted fit is resumed from. Returns the predictions, with the most probable other
    classes, and the models, one for each fold.
    """
    num_classes = learner.num_classes
    folds = np.unique(images.fold)
    weights = np.stack([np.where(images.fold != f, images.weights, 0).astype(np.float32) for f in folds])
    targets = images.given if images.targets is None else images.targets
    job = FitJob(
        rows=images.rows,
        targets=targets,
        sample_weights=weights,
        log_prior=log_priors(targets, weights, num_classes),
        recipe=recipe,
        seed=seed,
        checkpoint_dir=checkpoint_dir,
        on_epoch=on_epoch,
    )
    known = [np.bincount(targets, weights=w, minlength=num_classes) > 0 for w in weights]
    members = [np.flatnonzero(images.fold == f) for f in folds]
    held_out = [
        HeldOut(images.rows[mine], images.given[mine], scorable, NUM_OTHERS)
        for mine, scorable in zip(members, known, strict=True)
    ]
    fitted = learner.fit_and_predict(job, held_out)
    result = OutOfFold.empty(images.given, min(NUM_OTHERS, num_classes - 1))
    for mine, (_, part) in zip(members, fitted, strict=True):
        result.put(mine, part)
    return result, [model for model, _ in fitted]


def single_job(
    rows: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    recipe: Recipe,
    *,
    seed: int,
    weights: np.ndarray | None = None,
    checkpoint_dir: Path | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> FitJob:
    """The job of one model for rows (n,) with `targets` (n,); `weights` (n,) float32, 1 for each by default."""
    each = np.ones((1, len(rows)), np.float32) if weights is None else weights[None]
    return FitJob(
        rows=rows,
        targets=targets,
        sample_weights=each,
        log_prior=log_priors(targets, each, num_classes),
        recipe=recipe,
        seed=seed,
        checkpoint_dir=checkpoint_dir,
        on_epoch=on_epoch,
    )


def fit_and_predict(learner: Learner, job: FitJob, rows: np.ndarray, given: np.ndarray) -> OutOfFold:
    """Fit the one model of a job; its predictions for other images `rows` (m,) with `given` (m,) classes."""
    held_out = HeldOut(rows, given, np.bincount(job.targets, minlength=learner.num_classes) > 0)
    ((_, predictions),) = learner.fit_and_predict(job, [held_out])
    return predictions


def log_priors(targets: np.ndarray, sample_weights: np.ndarray, num_classes: int) -> np.ndarray:
    """Log of each class's share of the weight, (M, K) float32, for targets (n,) and sample weights (M, n)."""
    counts = np.stack([np.bincount(targets, weights=w, minlength=num_classes) for w in sample_weights])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-12)
    return np.where(counts > 0, np.log(np.maximum(shares, 1e-12)), _NO_ROWS).astype(np.float32)
