"""Decides whether a stage has to run, for the stage itself, dry runs, `status` and make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaner import __version__
from cleaner.dataset.checkpoint_files import find_checkpoints
from cleaner.dataset.digests import tree_stamp
from cleaner.dataset.files import list_files
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.lineage import Parent, parent_input, why_outdated
from cleaner.dataset.locations import is_remote, locate
from cleaner.dataset.verdicts import Verdicts
from cleaner.dataset.workspace import Input, StageRecord, Workspace
from cleaner.errors import BadInputError
from cleaner.settings import InputFile, Settings, input_files, path_settings

_FILES = {
    "labels": ("file", "check --labels"),
    "class_names": ("file", "check --class-names"),
    "seeds": ("seeds", "give a CSV (file_name,is_noise) or a folder with noise/ and normal/"),
    "pred_probs": ("file", "check --pred-probs and --pred-ids"),
    "weights": ("weights file", "give a .safetensors or .pth file with --weights"),
    "val": ("folder", "check --val"),
}
"""By role: what a setting names, and what to do if that is missing."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One requested run of a stage."""

    stage: str
    settings: Settings
    seed: int
    parent: Parent | None
    """The manifest that it reads; scan reads none."""
    verdicts: Verdicts
    """The verdicts in force."""
    others: tuple[Input, ...] = ()
    """What it reads besides its parent, verdicts and the files that its settings name."""


def find_inputs(workspace: Workspace, run: RunRequest, gone: Iterable[Input] = ()) -> list[Input]:
    """The inputs of a run except verdicts, with their digests.

    `gone` are inputs of an earlier run; they stand in for files of the same role that no longer exist. Raises
    BadInputError for any other file that is missing or cannot be used.
    """
    inputs = [*run.others, *([parent_input(workspace, run.parent)] if run.parent else [])]
    for file in input_files(run.settings):
        known = [i for i in gone if i.role == file.role]
        is_there = is_remote(file.path) or file.path.exists()
        inputs += known if known and not is_there else _file_inputs(workspace, file, run.parent)
    return inputs


def images_input(root: Path, found: FoundFiles) -> Input:
    """The files `found` below an images root as an input of the scan."""
    return Input("images", str(root), found.digest())


def why_run(workspace: Workspace, run: RunRequest, inputs: Iterable[Input]) -> str:
    """Why the stage has to run for this request with these `inputs`; '' if its record matches them all."""
    record = workspace.record(run.stage)
    if record is None:
        return "it has not run"
    parent = parent_input(workspace, run.parent) if run.parent else None
    if record.cleaner_version != __version__:
        return f"cleaner {record.cleaner_version} wrote it"
    if record.seed != run.seed:
        return f"seed {record.seed} became {run.seed}"
    return (
        _changed_settings(record, run.settings)
        or why_outdated(workspace, record, parent, run.verdicts)
        or _changed_inputs(record, list(inputs))
    )


def flat_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a record, with those of the backbone as `embedding.image_size` and so on."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _changed_settings(record: StageRecord, settings: Settings) -> str:
    """Settings that differ. Paths are ignored: the digest of the file counts, not its place."""
    before, now = flat_settings(record.settings), flat_settings(settings.as_record())
    keys = [key for key in now if key not in path_settings(type(settings)) and before.get(key) != now[key]]
    return ", ".join(f"setting {key}: {before.get(key)!r} became {now[key]!r}" for key in keys)


def _changed_inputs(record: StageRecord, inputs: list[Input]) -> str:
    was = {(i.role, i.sha256): i for i in record.inputs if i.role != "decisions"}
    now = {(i.role, i.sha256): i for i in inputs}
    changed = {key[0]: now.get(key) or was[key] for key in sorted(was.keys() ^ now.keys())}
    if changed:
        return "changed: " + ", ".join(f"{role} ({i.file})" for role, i in changed.items())
    moved = {a[0] for a, b in zip(was, now, strict=True) if a != b}
    if moved:  # predictions and the names of their rows belong together in their order
        return f"changed: the order of {', '.join(sorted(moved))}"
    root = next((i.file for i in inputs if i.role == "images"), record.images_root)
    return "" if root == record.images_root else f"images root {record.images_root} became {root}"


def _file_inputs(workspace: Workspace, file: InputFile, parent: Parent | None) -> list[Input]:
    """The inputs that a setting names: one file or folder, or several checkpoints."""
    path = locate(str(file.path))
    if file.role == "teacher":
        paths = find_checkpoints([path])
    elif path.is_dir() if file.role == "val" else path.exists():
        paths = [path]
    else:
        what, advice = _FILES[file.role]
        raise BadInputError(f"{path}: no such {what}", next_step=advice)
    return [Input(file.role, workspace.relative(p), _digest(workspace, file.role, p, parent)) for p in paths]


def _digest(workspace: Workspace, role: str, path: Path, parent: Parent | None) -> str:
    if role == "val":  # as for the images: sizes and times
        return list_files(path, follow_symlinks=False).digest()
    if role != "seeds":
        return workspace.digests.sha256(path)
    assert parent is not None

    def of_seeds() -> str:
        from cleaner.dataset.importers import read_seeds, seeds_digest  # loads pandas
        from cleaner.dataset.manifest import read_manifest

        names = ["file_name", "image_id"]
        return seeds_digest(read_seeds(path, read_manifest(parent.path, [*names, "readable"], packed=names)))

    return workspace.digests.remember(f"seeds {path}", [*tree_stamp(path), parent.sha256], of_seeds)
