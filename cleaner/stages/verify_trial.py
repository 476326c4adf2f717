"""The trainings of `verify`: one model for each set and seed, all tested on the same held-out images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cleaner.config import VerifySettings
from cleaner.dataset.locations import locate
from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.learner import FitJob, Learner
from cleaner.progress import Task
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.verification import spread_over_slots
from cleaner.stages.learners import OpenedLearner, open_learner
from cleaner.stages.stage_run import StageRun
from cleaner.stages.verify_sets import TestImages, TrainingSet


@dataclass(frozen=True)
class Trial:
    """Which models are trained, and which images they are tested on."""

    sets: list[TrainingSet]
    """raw, cleaned, and the others."""
    test: TestImages
    classes: list[str]
    targets: np.ndarray
    """(n,) int64: the true class of each test image; -1 for one without."""
    learner: Literal["probe", "finetune"]
    seeds: list[int]

    @property
    def num_slots(self) -> int:
        """Rows of the largest set."""
        return max(len(s.rows) for s in self.sets)

    @property
    def asked(self) -> np.ndarray:
        """(m,) int64: the test images that have a class."""
        return np.flatnonzero(self.targets >= 0)

    @property
    def weights(self) -> np.ndarray:
        """(n,) float64: how many images each test image represents; 0 for one without a class."""
        return np.where(self.targets >= 0, self.test.images["weight"].to_numpy(np.float64), 0.0)


@dataclass(frozen=True)
class _Course:
    """What all trainings share."""

    trial: Trial
    learner: Learner
    identity: str
    """Digest of all that a model depends on besides its set and seed."""
    place: np.ndarray
    """(N,) int64: where the learner has each row of the manifest; -1 for rows that no set holds."""
    asked: np.ndarray
    """(m,) int64: where the learner has the test images."""
    store: ArrayStore

    def predict(self, one: TrainingSet, seed: int, task: Task) -> np.ndarray:
        """The classes that a model of a set predicts for the test images: (m,) int32; stored, so a kill costs one fit.

        Each set is spread over as many slots as the largest set has rows, so all have the same batches and steps.
        """
        trial = self.trial
        number = {name: i for i, name in enumerate(trial.classes)}
        all_targets = np.array([number[name] for name in one.labels], np.int64)
        slots, weights = spread_over_slots(one.weights, trial.num_slots, open_stream(seed, Stream.VERIFY_SLOTS))
        rows, targets = self.place[one.rows[slots]], all_targets[slots]
        recipe = self.learner.final_recipe
        key = digest_of("verify", self.identity, rows, targets, weights, self.asked, asdict(recipe), seed)
        if self.store.get(key) is not None:
            task.advance(recipe.epochs)

        def compute(checkpoint_dir: Path) -> Arrays:
            job = FitJob(
                rows=rows,
                targets=targets,
                sample_weights=weights[None],
                num_classes=len(trial.classes),
                recipe=recipe,
                seed=seed,
                checkpoint_dir=checkpoint_dir,
                on_epoch=task.advance,
            )
            (model,) = self.learner.fit(job)
            predicted = np.full(len(self.asked), -1, np.int32)
            for part, probs in model.predict(self.asked):
                predicted[part] = probs.argmax(1)
            return {"predicted": predicted}

        return self.store.resume(key, compute)["predicted"]


def train_all(
    run: StageRun[VerifySettings], manifest: pd.DataFrame, trial: Trial
) -> tuple[OpenedLearner, dict[str, np.ndarray]]:
    """Whether each set's models are right about each test image: (S, n) bool by set, one row per seed."""
    used = np.unique(np.concatenate([s.rows for s in trial.sets]))
    images = trial.test.images.iloc[trial.asked]
    outside = [(i, locate(p)) for i, p in zip(images["image_id"], images["path"], strict=True)]
    rows = manifest.iloc[used]
    opened = open_learner(run, rows, len(trial.classes), outside)
    all_ids = [*rows["image_id"], *(i for i, _ in outside)]
    place = np.full(len(manifest), -1, np.int64)
    place[used] = np.arange(len(used))
    course = _Course(
        trial=trial,
        learner=opened.learner,
        identity=digest_of(opened.learner.identity, trial.learner, all_ids, trial.classes, num_threads()),
        place=place,
        asked=len(used) + np.arange(len(outside)),
        store=ArrayStore(opened.cache / "verify"),
    )
    right = {}
    for one in trial.sets:
        right[one.name] = np.zeros((len(trial.seeds), len(trial.targets)), bool)
        num_epochs = len(trial.seeds) * opened.learner.final_recipe.epochs
        with run.options.progress.task(f"learning {one.name}, epochs", num_epochs) as task:
            for i, seed in enumerate(trial.seeds):
                right[one.name][i, trial.asked] = course.predict(one, seed, task) == trial.targets[trial.asked]
    return opened, right
