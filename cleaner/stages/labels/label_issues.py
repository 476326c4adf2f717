"""Which images have a wrong label: the work of the labels stage. docs/methods.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from cleaner.config import LabelsSettings
from cleaner.dataset.store import clear_folder
from cleaner.dataset.verdicts import resolve_merges
from cleaner.errors import BadInputError
from cleaner.freed_memory import release_freed_memory
from cleaner.scoring.groups import exact_groups
from cleaner.stages.labels.brought import BroughtModel, decides_alone, read_brought
from cleaner.stages.labels.class_table import write_classes
from cleaner.stages.labels.issue_estimate import IssueEstimate
from cleaner.stages.labels.label_set import LabelSet, make_label_set
from cleaner.stages.labels.outcome import Evidence, apply_outcome
from cleaner.stages.labels.passes import Pass, plan_passes
from cleaner.stages.labels.records import notes_of, warnings_of, write_predictions, write_rounds
from cleaner.stages.labels.rule import Choice
from cleaner.stages.stage_run import Machine, StageResult, StageRun

_READ = [
    "file_name",
    "image_id",
    "keep",
    "drop_stage",
    "drop_reason",
    "clean_label",
    "label",
    "split",
    "duplicate_group",
]
"""The columns that this stage reads, and `pixel_id` for copies. The others are copied unread."""
_PACKED = ("file_name", "image_id", "pixel_id")
_OF_JUDGED = ["file_name", "image_id", "clean_label", "split", "duplicate_group"]
"""What is read of images that are judged."""
_FEW_CLASSES = 10
"""Up to this many classes the coarse pass of the default schedule is skipped."""


class Judge(Protocol):
    """What judges the labels: models that the stage trains, or predictions that people brought."""

    @property
    def machine(self) -> Machine:
        """What it computes with."""

    @property
    def learner(self) -> str:
        """What is trained, for the record."""

    @property
    def features(self) -> np.ndarray:
        """(n, D) float16: what the images look like; D is 0 where nothing is known of it."""

    def run_passes(self, top_ks: Sequence[int]) -> list[Pass]:
        """The recipe's passes."""

    def estimate(self, passes: list[Pass]) -> IssueEstimate:
        """How probable each label is wrong."""

    def write_models(self, folder: Path, evidence: Evidence) -> list[str]:
        """Write the models, if there are any, and return the files' names."""


def find_label_issues(run: StageRun[LabelsSettings]) -> StageResult:
    """Find wrong labels by cross-training and rounds of pulling back, or by people's predictions; write `labels/`.

    Raises BadInputError if there is too little to learn from, for predictions that do not fit the images, or for an
    image that changed since the scan.
    """
    settings, manifest = run.settings, run.read_parent(_READ, ["pixel_id"], _PACKED)
    copies = exact_groups(manifest)
    manifest = manifest.drop(columns="pixel_id", errors="ignore")
    verdicts = run.image_verdicts(manifest)
    merged = resolve_merges(run.class_verdicts)  # two classes that people merged are one class here too
    if merged:
        manifest["clean_label"] = manifest["clean_label"].replace(merged).astype(object)
        verdicts["label"] = verdicts["label"].replace(merged)
    folds = 1 if decides_alone(settings) else settings.folds
    mine = (manifest["keep"] & manifest["split"].isin(["train", *settings.clean_split])).to_numpy()
    rows = _rows_to_check(manifest.loc[mine, _OF_JUDGED], folds, run.parent.path)
    classes = sorted(set(rows["clean_label"]) | set(verdicts.loc[verdicts["verdict"] == "label", "label"]))
    labels = make_label_set(rows, classes, verdicts, folds, run.options.seed)
    if not decides_alone(settings) and not labels.scorable.any():
        raise _too_little(run.parent.path, "a class with two images that are no copies of one another", "none")
    judge = _open_judge(run, manifest, rows, classes, labels)
    manifest = manifest.drop(columns=["image_id", "duplicate_group"])  # copied unread, as what was never read
    del rows
    release_freed_memory()  # half a gigabyte a million images
    folder = run.begin()
    choice, passes, skipped, estimate = _judge(run, judge, labels)
    release_freed_memory()
    evidence = Evidence(mine, copies, classes, labels, passes, skipped, estimate)
    full, counts = apply_outcome(manifest, evidence, choice)
    del manifest
    classes_file, class_counts = write_classes(folder, evidence, full)
    counts |= class_counts
    clear_folder(folder / "models")
    files = [write_rounds(folder, full["file_name"], evidence), classes_file, *judge.write_models(folder, evidence)]
    if evidence.estimate is not None:
        files.append(write_predictions(folder, evidence, merged, judge.features))
    return run.complete(
        full,
        counts=counts,
        files=files,
        machine=judge.machine,
        notes={"learner": judge.learner} | notes_of(evidence),
        warnings=warnings_of(counts, evidence.passes),
        base=run.parent.path,
    )


def _rows_to_check(found: pd.DataFrame, folds: int, path: Path) -> pd.DataFrame:
    rows = found.reset_index(drop=True)
    if rows["clean_label"].nunique() < 2 or len(rows) < 2 * folds:
        wanted = f"two classes and {2 * folds} kept images of split train at least"
        raise _too_little(path, wanted, f"{rows['clean_label'].nunique()} classes, {len(rows)} images")
    return rows


def _too_little(path: Path, expected: str, found: str) -> BadInputError:
    return BadInputError(
        f"{path}: too little to learn labels from",
        expected=expected,
        found=found,
        next_step="check the images root, or go on without this stage: cleaner balance",
    )


def _open_judge(
    run: StageRun[LabelsSettings], manifest: pd.DataFrame, rows: pd.DataFrame, classes: list[str], labels: LabelSet
) -> Judge:
    """Predictions that people brought decide alone, unless they want them beside ours."""
    brought = read_brought(run.settings, manifest, rows, classes)
    if brought is not None and decides_alone(run.settings):
        return BroughtModel.of(brought, labels, run.options.progress)
    from cleaner.stages.labels.trained import open_models  # loads torch

    return open_models(run, rows, labels, classes, brought)


def _judge(
    run: StageRun[LabelsSettings], judge: Judge, labels: LabelSet
) -> tuple[Choice, list[Pass], list[int], IssueEstimate | None]:
    """Run the passes and, if the choice needs it, the estimate; also the values of top_k that were skipped."""
    num_classes = len(np.unique(labels.targets))
    top_ks, skipped = plan_passes(run.settings.top_k, num_classes)
    for top_k in skipped:
        words = f"top {top_k} of {num_classes} classes is nearly blind: that pass is skipped"
        if num_classes <= _FEW_CLASSES:  # nobody asked for it: the default schedule is for many classes
            run.options.progress.say(f"  {words}")
        else:
            run.options.progress.warn(words)
    choice = Choice.of(run.settings, top_ks)
    passes = judge.run_passes(top_ks)
    return choice, passes, skipped, judge.estimate(passes) if choice.needs_estimate else None
