"""The labels stage by models of our own: passes of cross-training and pulling back, and the estimate by rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save as save_tensors

from cleaner.config import LabelsSettings
from cleaner.dataset.store import Arrays, ArrayStore, digest_of, write_atomic, write_json
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.learner import Learner
from cleaner.modeling.probe import ProbeLearner
from cleaner.scoring.held_out import Predicts
from cleaner.stages.labels.fits import StoredFits
from cleaner.stages.labels.issue_estimate import IssueEstimate, estimate_issues
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.outcome import Evidence
from cleaner.stages.labels.passes import Pass, run_in_turn, run_pass
from cleaner.stages.learners import open_learner
from cleaner.stages.stage_run import Machine, StageRun

_NUM_FEATURES = 128
_PIECE_ROWS = 65_536


@dataclass(frozen=True)
class TrainedModels:
    """Judges the images by networks or heads that are trained on them."""

    fits: StoredFits
    machine: Machine
    settings: LabelsSettings
    brought: Predicts | None
    """Predictions of the rows that people brought, which count beside ours in the estimate."""

    @property
    def learner(self) -> str:
        """What is trained: probe or finetune."""
        return str(self._learner.card["learner"])

    @property
    def features(self) -> np.ndarray:
        """The first of the principal directions that heads learned from; nothing where something else learned."""
        rows, learner = np.arange(len(self.fits.labels.targets)), self._learner
        if not isinstance(learner, ProbeLearner):
            return np.zeros((len(rows), 0), np.float16)
        return learner.leading_features(rows, _NUM_FEATURES)

    @property
    def _learner(self) -> Learner:
        return self.fits.learner

    def run_passes(self, top_ks: Sequence[int]) -> list[Pass]:
        """The passes; each judges the positives of the one before."""

        def run(rows: np.ndarray, top_k: int) -> Pass:
            return run_pass(self.fits, rows, top_k=top_k, max_rounds=self.settings.max_rounds)

        return run_in_turn(top_ks, len(self.fits.labels.targets), run)

    def estimate(self, passes: list[Pass]) -> IssueEstimate:
        """Start from the first pass's round 0, or without a pass from a cross-training of its own."""
        if passes:
            zero = passes[0].rounds[0].predictions
        else:
            zero, _ = self.fits.cross_train_as_given(np.arange(len(self.fits.labels.targets)), "rule")
        return estimate_issues(self.fits, zero, self.brought)

    def write_models(self, folder: Path, evidence: Evidence) -> list[str]:
        """The fold models of the last cross-training: safetensors, and a JSON that says what they take and yield."""
        learner = self._learner
        estimate, recipes = evidence.estimate, learner.recipes
        name, recipe = "", recipes[0]
        models: list[Arrays] = []
        if evidence.passes:
            models, name = evidence.passes[-1].models, evidence.passes[-1].kind
        if estimate is not None and estimate.models:
            models, name, recipe = estimate.models, "rule", recipes[(len(estimate.rounds) - 1) % len(recipes)]
        files = []
        card = learner.card | {"classes": evidence.classes, "pass": name, "recipe": asdict(recipe)}
        for number, state in enumerate(models):
            file = f"models/fold_{number}"
            tensors = save_tensors({k: np.ascontiguousarray(v) for k, v in state.items()})
            write_atomic(folder / f"{file}.safetensors", tensors)
            write_json(folder / f"{file}.json", {"fold": number} | card)
            files += [f"{file}.safetensors", f"{file}.json"]
        return files


def open_models(
    run: StageRun[LabelsSettings], rows: pd.DataFrame, labels: LabelSet, classes: list[str], brought: Predicts | None
) -> TrainedModels:
    """Embed the images, or open their pixels. Raises BackboneError, and BadInputError for an image that changed."""
    settings, options = run.settings, run.options
    opened = open_learner(run, rows, len(classes))
    parts = (rows["image_id"].iloc[start : start + _PIECE_ROWS] for start in range(0, len(rows), _PIECE_ROWS))
    ids = b"".join("".join(part).encode() for part in parts)
    identity = digest_of(opened.learner.identity, ids, classes, num_threads())
    labels = replace(labels, identity=identity)
    fits = StoredFits(labels, opened.learner, options.seed, ArrayStore(opened.cache / "labels"), options.progress)
    return TrainedModels(fits, opened.machine, settings, brought)
