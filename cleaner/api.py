"""cleaner as a library: the stages as functions, with typed settings; they print nothing.

Everything here can be imported from `cleaner` itself, which loads it when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeVar

from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset import workspace as stored
from cleaner.dataset.locations import locate
from cleaner.opened_workspace import Workspace
from cleaner.progress import Progress, Silent
from cleaner.settings import Settings
from cleaner.stages.balance import run_balance
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageResult

AnyPath = str | PathLike[str]
S = TypeVar("S", bound=Settings)


def open_workspace(path: AnyPath) -> Workspace:
    """The workspace in the folder `path`, which need not exist yet: `scan` makes it."""
    return Workspace(Path(path))


def scan(
    workspace: stored.Workspace | AnyPath,
    images: AnyPath,
    settings: ScanSettings | None = None,
    *,
    seed: int = 0,
    workers: int = 0,
    force: bool = False,
    yes: bool = False,
    progress: Progress | None = None,
) -> StageResult:
    """Look at every file below `images`; see `cleaner.ScanSettings`.

    `force` reads every byte anew; `yes` drops even for a quality issue that more than a tenth of the set has.
    A stage that is up to date is not run again. All stages raise CleanerError for what is wrong with their input.
    """
    root = locate(os.fspath(images)).absolute()
    options = RunOptions(seed=seed, workers=workers, force=force, yes=yes, progress=progress or Silent())
    return _run(lambda place, own, how: run_scan(place, root, own, how), workspace, settings or ScanSettings(), options)


def noise(
    workspace: stored.Workspace | AnyPath,
    settings: NoiseSettings | None = None,
    *,
    from_file: AnyPath | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> StageResult:
    """Find the images that belong to no class; see `cleaner.NoiseSettings`."""
    options = RunOptions(seed=seed, device=device, workers=workers, force=force, progress=progress or Silent())
    return _run(_reading(run_noise, from_file), workspace, settings or NoiseSettings(), options)


def labels(
    workspace: stored.Workspace | AnyPath,
    settings: LabelsSettings | None = None,
    *,
    from_file: AnyPath | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> StageResult:
    """Find good images under the wrong class; see `cleaner.LabelsSettings`."""
    options = RunOptions(seed=seed, device=device, workers=workers, force=force, progress=progress or Silent())
    return _run(_reading(run_labels, from_file), workspace, settings or LabelsSettings(), options)


def balance(
    workspace: stored.Workspace | AnyPath,
    settings: BalanceSettings | None = None,
    *,
    from_file: AnyPath | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> StageResult:
    """Judge small classes, say how often to repeat each image, write class priors; see `cleaner.BalanceSettings`."""
    options = RunOptions(seed=seed, device=device, workers=workers, force=force, progress=progress or Silent())
    return _run(_reading(run_balance, from_file), workspace, settings or BalanceSettings(), options)


def _reading(
    run_stage: Callable[[stored.Workspace, S, RunOptions, Path | None], StageResult], from_file: AnyPath | None
) -> Callable[[stored.Workspace, S, RunOptions], StageResult]:
    path = None if from_file is None else Path(from_file)
    return lambda place, settings, options: run_stage(place, settings, options, path)


def _run(
    run_stage: Callable[[stored.Workspace, S, RunOptions], StageResult],
    workspace: stored.Workspace | AnyPath,
    settings: S,
    options: RunOptions,
) -> StageResult:
    """Run a stage under the workspace's lock.

    Settings that are not defaults count as given for this run alone, as on a command line.
    """
    place = workspace if isinstance(workspace, stored.Workspace) else open_workspace(workspace)
    given = [name for name, setting in settings.flat().items() if settings.value(name) != setting.default]
    with place.lock():
        return run_stage(place, settings.absolute(Path()), options.replace(command_line=tuple(sorted(given))))
