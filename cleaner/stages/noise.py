"""`cleaner noise`: which images belong to no class."""

from __future__ import annotations

from pathlib import Path

from cleaner.config import NoiseSettings, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.stages.stage_run import StageResult, StageRun


def run_noise(
    workspace: Workspace, settings: NoiseSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Find noise images, round by round, and write `noise/`.

    Raises StaleStageError without a current parent, BadInputError for seeds that cannot be used or an image that
    changed since the scan.
    """
    run = StageRun.open(workspace, "noise", settings, options, from_file)
    current = run.current()
    if current is not None:
        return current
    from cleaner.stages.noise_images import find_noise  # loads torch, which a stage that is up to date does without

    return find_noise(run)
