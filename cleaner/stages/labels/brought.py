"""The labels stage by predictions that people brought: they alone decide, and nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import LabelsSettings
from cleaner.dataset.predictions import BroughtPredictions, JudgedImages, read_predictions
from cleaner.progress import Progress
from cleaner.scoring.held_out import NUM_OTHERS, HeldOut, predict_held_out
from cleaner.scoring.out_of_fold import OutOfFold
from cleaner.stages.labels.issue_estimate import IssueEstimate, judge_predictions
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.outcome import Evidence
from cleaner.stages.labels.passes import BROUGHT, Pass, judge_pass, run_in_turn
from cleaner.stages.stage_run import Machine


@dataclass(frozen=True)
class BroughtModel:
    """Judges the images by predictions of a model that people trained elsewhere."""

    labels: LabelSet
    predictions: OutOfFold
    progress: Progress
    machine = Machine()
    learner = BROUGHT

    @classmethod
    def of(cls, model: BroughtPredictions, labels: LabelSet, progress: Progress) -> BroughtModel:
        """The predictions of all rows, reduced to what the rules need."""
        rows, scorable = np.arange(len(labels.targets)), model.column_of_class >= 0
        wanted = HeldOut(rows, labels.targets, scorable, NUM_OTHERS)
        return cls(labels, predict_held_out(model, wanted), progress)

    def run_passes(self, top_ks: Sequence[int]) -> list[Pass]:
        """The passes, one round each; each judges the positives of the one before."""

        def run(rows: np.ndarray, top_k: int) -> Pass:
            return judge_pass(self.labels, rows, top_k=top_k, predictions=self.predictions, progress=self.progress)

        return run_in_turn(top_ks, len(self.labels.targets), run)

    @property
    def features(self) -> np.ndarray:
        """Nothing: no image was read."""
        return np.zeros((len(self.labels.targets), 0), np.float16)

    def estimate(self, passes: list[Pass]) -> IssueEstimate:
        """The estimate on the predictions; `passes` do not matter."""
        return judge_predictions(self.labels, self.predictions, self.progress)

    def write_models(self, folder: Path, evidence: Evidence) -> list[str]:
        """Nothing: there are no models."""
        return []


def decides_alone(settings: LabelsSettings) -> bool:
    """Whether predictions that people brought decide, and nothing is trained."""
    return bool(settings.pred_probs) and not settings.pred_probs_blend


def read_brought(
    settings: LabelsSettings, manifest: pd.DataFrame, rows: pd.DataFrame, classes: list[str]
) -> BroughtPredictions | None:
    """The predictions that settings name, for `rows`; None without any. Raises BadInputError, see read_predictions."""
    if not settings.pred_probs:
        return None
    images = JudgedImages(
        file_names=rows["file_name"].tolist(),
        known_names=manifest["file_name"].tolist(),
        classes=classes,
        learned=sorted(set(rows["clean_label"])),
    )
    return read_predictions([*map(Path, settings.pred_probs)], [*map(Path, settings.pred_ids)], images)
