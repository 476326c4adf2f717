"""Fits over the images of the labels stage, each stored under a digest of all that it depends on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.modeling.checkpoints import under_prefix, with_prefix
from cleaner.modeling.crossval import FoldedRows, cross_train, fit_and_predict
from cleaner.modeling.learner import FitJob, Learner
from cleaner.modeling.recipes import Recipe
from cleaner.progress import Progress
from cleaner.scoring.held_out import NUM_OTHERS
from cleaner.scoring.out_of_fold import OutOfFold
from cleaner.stages.labels.label_set import LabelSet

_MODEL = "fold_"


@dataclass(frozen=True)
class StoredFits:
    """Fits of one learner over a label set; an interrupted or repeated run reads the stored ones."""

    labels: LabelSet
    learner: Learner
    seed: int
    store: ArrayStore
    progress: Progress

    def recipe(self, number: int) -> Recipe:
        """The recipe of a round: the learner's rotate."""
        return self.learner.recipes[number % len(self.learner.recipes)]

    def round_seed(self, number: int) -> int:
        """The seed of a round's fit."""
        return self.seed * 1009 + number

    def cross_train_as_given(self, rows: np.ndarray, title: str) -> tuple[OutOfFold, list[Arrays]]:
        """Cross-train `rows` (m,) on the given labels by the first recipe; see `cross_train`.

        Other classes are kept if these are all rows: an estimate begins with those, no other pass needs them.
        """
        weights = self.labels.learns.astype(np.float32)
        num_others = NUM_OTHERS if len(rows) == len(weights) else 0
        arguments = (rows, self.labels.targets, weights, self.recipe(0))
        return self.cross_train(*arguments, seed=self.seed, title=title, num_others=num_others)

    def cross_train(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        recipe: Recipe,
        *,
        seed: int,
        title: str,
        num_others: int = NUM_OTHERS,
    ) -> tuple[OutOfFold, list[Arrays]]:
        """Cross-train `rows` (m,) to out-of-fold predictions of the given labels, and the fold models' arrays.

        `targets` (n,) and `weights` (n,) float32 are over all rows of the label set; `num_others`: see HeldOut.
        """
        labels = self.labels
        images = FoldedRows(rows, labels.targets[rows], labels.fold[rows], weights[rows], targets[rows])
        arguments = (images.rows, images.given, images.targets, images.fold, images.weights, asdict(recipe), seed)
        key = digest_of("cross-training" if num_others else "cross-training, ranks", labels.identity, *arguments)

        def compute(checkpoint_dir: Path) -> Arrays:
            with self.progress.task(f"{title} cross-training ({recipe.name}), epochs", recipe.epochs) as task:
                predictions, models = cross_train(
                    self.learner,
                    images,
                    recipe,
                    seed=seed,
                    num_others=num_others,
                    checkpoint_dir=checkpoint_dir,
                    on_epoch=task.advance,
                )
            arrays = predictions.arrays()
            for number, model in enumerate(models):
                arrays |= with_prefix(f"{_MODEL}{number}", model.state())
            return arrays

        arrays = self.store.resume(key, compute)
        models = [under_prefix(f"{_MODEL}{number}", arrays) for number in range(len(np.unique(images.fold)))]
        return OutOfFold.from_arrays(images.given, arrays), models

    def predict(self, learned: np.ndarray, rows: np.ndarray, number: int, title: str) -> OutOfFold:
        """Fit one model to the rows `learned` by the recipe of round `number`; its predictions for other `rows`."""
        recipe, seed = self.recipe(number), self.round_seed(number)
        targets, given = self.labels.targets_now[learned], self.labels.targets[rows]
        key = digest_of("round", self.labels.identity, learned, targets, rows, given, asdict(recipe), seed)

        def compute(checkpoint_dir: Path) -> Arrays:
            with self.progress.task(f"{title} ({recipe.name}), epochs", recipe.epochs) as task:
                job = FitJob(
                    rows=learned,
                    targets=targets,
                    sample_weights=np.ones((1, len(learned)), np.float32),
                    num_classes=self.labels.num_classes,
                    recipe=recipe,
                    seed=seed,
                    checkpoint_dir=checkpoint_dir,
                    on_epoch=task.advance,
                )
                return fit_and_predict(self.learner, job, rows, given).arrays()

        return OutOfFold.from_arrays(given, self.store.resume(key, compute))
