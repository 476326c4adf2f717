"""A stage's last run, repeated with today's settings: whether it would run again, and the command for it."""

from __future__ import annotations

import shlex
from typing import Any

from cleaner.config import Config
from cleaner.dataset.files import list_files
from cleaner.dataset.lineage import Parent, nearest_parent, open_parent
from cleaner.dataset.locations import locate
from cleaner.dataset.staleness import RunRequest, find_inputs, flat_settings, images_input, why_run
from cleaner.dataset.verdicts import Verdicts
from cleaner.dataset.workspace import Input, StageRecord, Workspace
from cleaner.errors import CleanerError
from cleaner.settings import Settings, path_settings


def why_repeat(
    workspace: Workspace, record: StageRecord, config: Config, verdicts: Verdicts, *, check_images: bool
) -> str:
    """Why the complete stage of `record` would run again if its command were typed again; '' if it would not.

    What was given for that run alone counts as it was given, and everything else as `config` has it. The images are
    listed only with `check_images`. The stages before it are taken to be up to date.
    """
    settings, given = _settings_now(record, config), _given(record, config)
    roles = {role for name, role in path_settings(type(settings)).items() if name in given}
    try:
        run = RunRequest(
            stage=record.stage,
            settings=settings,
            seed=record.seed,
            parent=_parent(workspace, record),
            verdicts=verdicts,
            others=tuple(_images(record, settings, check_images)),
        )
        # a file that was given once may be gone: what came of it still holds
        gone = [i for i in record.inputs if i.role in roles]
        return why_run(workspace, run, find_inputs(workspace, run, gone))
    except CleanerError as error:
        return error.what


def repeat_command(workspace: Workspace, record: StageRecord, config: Config) -> str:
    """How to run a stage again as it ran: the command without `cleaner`, less what the configuration supplies."""
    declared = type(getattr(config, record.stage)).flat()
    words = [record.stage, *([record.images_root] if record.stage == "scan" else [])]
    for name, value in _given(record, config).items():
        words += declared[name].as_options(value)
    file = _file_elsewhere(workspace, record)
    words += ["--from", file] if file else []
    words += ["--seed", str(record.seed)] if record.seed else []
    return " ".join(map(shlex.quote, words))


def _given(record: StageRecord, config: Config) -> dict[str, Any]:
    """What was given for that run alone, by name: the command line's settings, and files that nothing names today."""
    settings = getattr(config, record.stage)
    was, now = flat_settings(record.settings), flat_settings(settings.as_record())
    files = [name for name in path_settings(type(settings)) if was.get(name) and not now.get(name)]
    return {name: was[name] for name in sorted({*record.command_line, *files}) if name in was}


def _settings_now(record: StageRecord, config: Config) -> Settings:
    """The settings of a repetition."""
    settings: Any = getattr(config, record.stage)
    given = _given(record, config)
    nested = {name.removeprefix("embedding."): value for name, value in given.items() if "." in name}
    own = {name: value for name, value in given.items() if "." not in name}
    if nested:
        own["embedding"] = settings.embedding.replace(**nested)
    repeated: Settings = settings.replace(**own)
    return repeated


def _parent(workspace: Workspace, record: StageRecord) -> Parent | None:
    if record.find_input("parent") is None:
        return None
    file = _file_elsewhere(workspace, record)
    if file:
        return open_parent(workspace, record.stage, workspace.root / file)
    return nearest_parent(workspace, record.stage)


def _file_elsewhere(workspace: Workspace, record: StageRecord) -> str:
    """The manifest that the stage read, if no stage of this workspace wrote it."""
    read = record.find_input("parent")
    return "" if read is None or workspace.stage_of(read.file) else read.file


def _images(record: StageRecord, settings: Settings, check_images: bool) -> list[Input]:
    read = record.find_input("images")
    if read is None or not check_images:
        return [] if read is None else [read]
    root = locate(record.images_root)
    if not root.is_dir():
        raise CleanerError(f"the images are not there: {root}")
    follow_symlinks = bool(settings.as_record()["follow_symlinks"])
    return [images_input(root, list_files(root, follow_symlinks))]
