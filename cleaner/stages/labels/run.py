"""`cleaner labels`: which images have a wrong label."""

from __future__ import annotations

from pathlib import Path

from cleaner.config import LabelsSettings, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.stages.stage_run import StageResult, StageRun


def run_labels(
    workspace: Workspace, settings: LabelsSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Find wrong labels by cross-training and rounds of pulling back, and write `labels/`.

    Raises StaleStageError without a current parent, BadInputError if there is too little to learn from or an image
    changed since the scan.
    """
    run = StageRun.open(workspace, "labels", settings, options, from_file)
    current = run.current()
    if current is not None:
        return current
    from cleaner.stages.labels.label_issues import find_label_issues  # loads torch, as in stages/noise.py

    return find_label_issues(run)
