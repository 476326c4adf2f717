"""Cross-training, and single fits that predict other images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.modeling.learner import FitJob, Learner, Predictor
from cleaner.modeling.recipes import Recipe
from cleaner.scoring.held_out import NUM_OTHERS, HeldOutByModel
from cleaner.scoring.out_of_fold import OutOfFold


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
    num_others: int = NUM_OTHERS,
    checkpoint_dir: Path | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[OutOfFold, list[Predictor]]:
    """Out-of-fold predictions for n images, each by the model that learned from the other folds.

    `num_others`: how many of the most probable other classes are kept of each image; `checkpoint_dir`: where an
    interrupted fit is resumed from. Returns the predictions and the models, one for each fold.
    """
    folds = np.unique(images.fold)
    job = FitJob(
        rows=images.rows,
        targets=images.given if images.targets is None else images.targets,
        sample_weights=np.where(images.fold != folds[:, None], images.weights, 0).astype(np.float32, copy=False),
        num_classes=learner.num_classes,
        recipe=recipe,
        seed=seed,
        checkpoint_dir=checkpoint_dir,
        on_epoch=on_epoch,
    )
    model = np.searchsorted(folds, images.fold)
    held_out = HeldOutByModel(images.rows, images.given, model, job.class_weights > 0, num_others)
    models, predictions = learner.fit_and_predict(job, held_out)
    return predictions, models


def fit_and_predict(learner: Learner, job: FitJob, rows: np.ndarray, given: np.ndarray) -> OutOfFold:
    """Fit the one model of a job; its predictions for other images `rows` (m,) with `given` (m,) classes."""
    model = np.zeros(len(rows), np.int64)
    _, predictions = learner.fit_and_predict(job, HeldOutByModel(rows, given, model, job.class_weights > 0))
    return predictions
