"""Why a stage would run again: what it was made from, against what is there now. Reads no more than it must."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from cleaner import __version__
from cleaner.config import Config
from cleaner.dataset.files import list_files, listing_digest
from cleaner.dataset.importers import read_seeds, seeds_digest
from cleaner.dataset.locations import locate
from cleaner.dataset.store import sha256_file
from cleaner.dataset.verdicts import Verdicts, is_decided_since
from cleaner.dataset.workspace import PATH_SETTINGS, StageRecord, Workspace, changed_settings, flat_settings
from cleaner.errors import CleanerError


def why_rerun(
    workspace: Workspace, record: StageRecord, config: Config, verdicts: Verdicts, *, check_images: bool
) -> str:
    """Why the complete stage of `record` would run again with the settings `config`; '' if it would not.

    Settings that the command line gave for that run count as they were. Files are read again only if they were touched
    since the stage ran; the images are listed only with `check_images`.
    """
    why = workspace.why_stale(record.stage)
    if not why and record.cleaner_version != __version__:
        why = f"cleaner {record.cleaner_version} wrote it"
    why = why or _changed_settings(record, config) or _changed_files(workspace, record, config)
    if not why and is_decided_since(workspace, record.stage, verdicts):
        why = "people decided more since"
    if not why and check_images and record.stage == "scan":
        why = _changed_images(record)
    return why


def rerun_options(record: StageRecord, config: Config) -> dict[str, object]:
    """The settings that a repetition must be given on the command line, by name: those that nothing else supplies."""
    was, now = flat_settings(record.settings), flat_settings(_settings_now(record, config))
    names = {*record.command_line, *(key for key in PATH_SETTINGS if was.get(key) and not now.get(key))}
    return {name: was[name] for name in sorted(names) if name in was}


def _settings_now(record: StageRecord, config: Config) -> dict[str, object]:
    return dataclasses.asdict(getattr(config, record.stage))


def _changed_settings(record: StageRecord, config: Config) -> str:
    changed = changed_settings(record.settings, _settings_now(record, config))
    own = [c for c in changed if c[0] not in record.command_line]
    return ", ".join(f"setting {key}: {before!r} became {now!r}" for key, before, now in own)


def _changed_files(workspace: Workspace, record: StageRecord, config: Config) -> str:
    """Seeds, a list of labels, weights: the files behind the settings that are paths."""
    was, now = flat_settings(record.settings), flat_settings(_settings_now(record, config))
    for key, role in PATH_SETTINGS.items():
        configured = "" if key in record.command_line else str(now.get(key, ""))
        path = Path(configured or str(was.get(key, "")))
        if key not in was or not (configured or was[key]):
            continue
        if not path.exists():
            if configured:
                return f"{role}: {path} is not there"
            continue  # it was given once, by name; what came of it still holds
        if str(path) == was[key] and not _is_touched_since(path, record.created_utc):
            continue
        try:
            digest = _digest(workspace, record.stage, role, path)
        except CleanerError as error:
            return error.what
        if digest != record.input_sha256(role):
            return f"changed: {role} ({path})"
    return ""


def _digest(workspace: Workspace, stage: str, role: str, path: Path) -> str:
    if role != "seeds":
        return sha256_file(path)
    return seeds_digest(read_seeds(path, workspace.read(stage, ["file_name", "image_id", "readable"])))


def _is_touched_since(path: Path, created_utc: str) -> bool:
    """Whether a file, or anything in a folder, has a time not before the second at which the stage was complete."""
    created = datetime.datetime.fromisoformat(created_utc).timestamp()
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return any(max(s.st_mtime, s.st_ctime) >= created for s in (f.stat() for f in files))


def _changed_images(record: StageRecord) -> str:
    root = locate(record.images_root)
    if not root.is_dir():
        return f"the images are not there: {root}"
    found = list_files(root, bool(record.settings.get("follow_symlinks")))
    return "" if listing_digest(found) == record.input_sha256("images") else f"changed: images in {root}"
