"""cleaner as a library: the stages as functions, with typed settings, silent unless told otherwise.

Everything here is to be had from `cleaner` itself, which loads it when it is first asked for.
"""

from __future__ import annotations

import dataclasses
import os
from os import PathLike
from pathlib import Path
from typing import Any

from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.locations import locate
from cleaner.dataset.workspace import Workspace
from cleaner.progress import Progress, Silent
from cleaner.stages.balance import run_balance
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageResult

AnyPath = str | PathLike[str]


def open_workspace(path: AnyPath) -> Workspace:
    """The workspace in the folder `path`, which need not exist yet: `scan` makes it.

    `workspace.manifest("noise")` is a stage's manifest as a DataFrame, without a name that of the last stage;
    `workspace.record("noise")` what it was made from, with its counts.
    """
    return Workspace(Path(path))


def scan(
    workspace: Workspace | AnyPath,
    images: AnyPath,
    settings: ScanSettings | None = None,
    *,
    seed: int = 0,
    workers: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> StageResult:
    """Look at every file below `images`; see `cleaner.ScanSettings`. An up-to-date stage is not run again."""
    place, own = _workspace(workspace), settings or ScanSettings()
    root, options = locate(os.fspath(images)).absolute(), _options(own, seed, "auto", workers, force, progress)
    with place.lock():
        return run_scan(place, root, own, options)


def noise(
    workspace: Workspace | AnyPath,
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
    place, own = _workspace(workspace), settings or NoiseSettings()
    own = dataclasses.replace(own, seeds=str(Path(own.seeds).absolute()) if own.seeds else "")
    with place.lock():
        return run_noise(place, own, _options(own, seed, device, workers, force, progress), _path(from_file))


def labels(
    workspace: Workspace | AnyPath,
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
    place, own = _workspace(workspace), settings or LabelsSettings()
    with place.lock():
        return run_labels(place, own, _options(own, seed, device, workers, force, progress), _path(from_file))


def balance(
    workspace: Workspace | AnyPath,
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
    place, own = _workspace(workspace), settings or BalanceSettings()
    with place.lock():
        return run_balance(place, own, _options(own, seed, device, workers, force, progress), _path(from_file))


def _workspace(given: Workspace | AnyPath) -> Workspace:
    return given if isinstance(given, Workspace) else open_workspace(given)


def _path(given: AnyPath | None) -> Path | None:
    return None if given is None else Path(given)


def _options(settings: Any, seed: int, device: str, workers: int, force: bool, progress: Progress | None) -> RunOptions:
    """Options of a run; the settings that are not defaults count as given for it, as on a command line."""
    default = type(settings)()
    names = [f.name for f in dataclasses.fields(settings) if f.name != "embedding"]
    given = [name for name in names if getattr(settings, name) != getattr(default, name)]
    if hasattr(settings, "embedding"):
        mine, theirs = dataclasses.asdict(settings.embedding), dataclasses.asdict(default.embedding)
        given += [f"embedding.{name}" for name in mine if mine[name] != theirs[name]]
    return RunOptions(
        seed=seed,
        device=device,
        workers=workers,
        force=force,
        command_line=tuple(sorted(given)),
        progress=progress or Silent(),
    )
