"""A workspace: where each stage's output lies, what it was made from, and whether that still holds."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cleaner import __version__
from cleaner.dataset.digests import DigestCache
from cleaner.dataset.locations import is_remote, locate, read_bytes
from cleaner.dataset.manifest import SCHEMA_VERSION, STAGES, manifest_stage, read_manifest
from cleaner.dataset.store import digest_of, exclusive_lock, sha256_file, write_atomic, write_json
from cleaner.errors import BadInputError, StaleStageError

MANIFEST = "manifest.parquet"
RECORD = "stage.json"
PARENTS = {
    "scan": (),
    "noise": ("scan",),
    "labels": ("noise", "scan"),
    "balance": ("labels", "noise", "scan"),
    "export": ("balance", "labels", "noise", "scan"),
    "train": ("balance", "labels", "noise", "scan"),
    "verify": ("balance", "labels", "noise", "scan"),
}
"""Which stage each one reads (export, train and verify too): the first of these that is complete."""
PATH_SETTINGS = {
    "labels_file": "labels", "seeds": "seeds", "val": "val", "teacher": "teacher", "embedding.weights": "weights",
}  # fmt: skip
"""Settings that name a file, and the role of the input whose digest stands for it."""


@dataclass(frozen=True)
class Input:
    """One thing that a stage was made from."""

    role: str
    """parent, images, labels, seeds, decisions, pred_probs, weights, val, teacher, audit or against."""
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """`stage.json`: written last, so that a stage directory which has one is complete."""

    stage: str
    settings: dict[str, Any]
    seed: int
    images_root: str
    inputs: list[Input]
    outputs: dict[str, str]
    counts: dict[str, Any]
    backbone: dict[str, Any]
    device: str
    threads: int
    seconds: float
    notes: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    cleaner_version: str = __version__
    created_utc: str = ""
    command_line: list[str] = field(default_factory=list)
    """Names of the settings that the command line gave; the others are defaults, or from a file or the environment."""

    def input_sha256(self, role: str) -> str:
        """The digest of the input in `role`, or '' if there was none."""
        return next((i.sha256 for i in self.inputs if i.role == role), "")


@dataclass(frozen=True)
class Parent:
    """The manifest that a stage reads."""

    name: str
    """The stage that wrote it."""
    path: Path
    sha256: str
    images_root: Path
    stale_because: str = ""


class Workspace:
    """The folder that holds the stages' output; see docs/manifest.md for its layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digests = DigestCache(self.cache / "digests.json", root)

    @property
    def decisions_path(self) -> Path:
        """The SQLite file of people's decisions."""
        return self.root / "decisions.sqlite"

    @property
    def cache(self) -> Path:
        """What may be deleted at any time."""
        return self.root / "cache"

    def stage_dir(self, stage: str) -> Path:
        """Where `stage` writes."""
        return self.root / stage

    def manifest_path(self, stage: str) -> Path:
        """The manifest of `stage`."""
        return self.root / stage / MANIFEST

    def lock(self) -> AbstractContextManager[None]:
        """Keep other cleaner processes out of the workspace for a `with` block."""
        return exclusive_lock(self.root / ".lock")

    def record(self, stage: str) -> StageRecord | None:
        """The record of a complete stage, or None."""
        path = self.stage_dir(stage) / RECORD
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BadInputError(
                f"{path}: damaged", found=str(error), next_step=f"run `cleaner {stage} --force`"
            ) from error
        try:
            document["inputs"] = [Input(**i) for i in document["inputs"]]
            return StageRecord(**document)
        except (TypeError, KeyError) as error:
            raise BadInputError(
                f"{path}: not a stage record of this version",
                found=str(error),
                next_step=f"run `cleaner {stage} --force`",
            ) from error

    def write_record(self, record: StageRecord, files: list[str]) -> StageRecord:
        """Complete a stage: add the digests of `files` (in its directory) and the time, and write `stage.json`."""
        folder = self.stage_dir(record.stage)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        done = dataclasses.replace(
            record, outputs={name: self._digests.compute(folder / name) for name in sorted(files)}, created_utc=now
        )
        self._digests.save()
        order = ["schema_version", "stage", "cleaner_version", "created_utc"]
        document = dataclasses.asdict(done)
        write_json(folder / RECORD, {k: document[k] for k in [*order, *(k for k in document if k not in order)]})
        return done

    def begin(self, stage: str) -> Path:
        """Make a stage's directory and take its completion away; what later stages hold becomes stale by digest."""
        folder = self.stage_dir(stage)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        return folder

    def read(self, stage: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """The manifest of `stage` as a DataFrame."""
        return read_manifest(self.manifest_path(stage), columns)

    def manifest(self, stage: str = "", columns: Sequence[str] = ()) -> pd.DataFrame:
        """The manifest of `stage`, or of the last complete stage. Raises StaleStageError where none has run."""
        name = stage or self.latest()
        if name not in STAGES:
            raise StaleStageError(
                f"{self.root}: {f'no stage {stage!r}' if stage else 'no stage has run'}",
                expected=f"one of {', '.join(STAGES)}",
                next_step="run `cleaner scan IMAGES` first",
            )
        return self.read(name, columns)

    def latest(self) -> str | None:
        """The last complete stage, or None."""
        done = [s for s in STAGES if (self.stage_dir(s) / RECORD).exists()]
        return done[-1] if done else None

    def why_not_current(self, stage: str, settings: dict[str, Any], seed: int, inputs: list[Input]) -> str:
        """Why `stage` has to run: '' if its record matches these settings, inputs and outputs."""
        record = self.record(stage)
        if record is None:
            return "it has not run"
        if record.cleaner_version != __version__:
            return f"cleaner {record.cleaner_version} wrote it"
        if record.seed != seed:
            return f"seed {record.seed} became {seed}"
        changed = changed_settings(record.settings, settings)
        if changed:
            return ", ".join(f"setting {key}: {before!r} became {now!r}" for key, before, now in changed)
        was, now = {(i.role, i.sha256) for i in record.inputs}, {(i.role, i.sha256) for i in inputs}
        if was != now:
            return "changed: " + ", ".join(sorted({role for role, _ in was ^ now}))
        root = next((i.file for i in inputs if i.role == "images"), record.images_root)
        if root != record.images_root:
            return f"images root {record.images_root} became {root}"
        return self._why_damaged(record)

    def _why_damaged(self, record: StageRecord) -> str:
        for name, digest in record.outputs.items():
            path = self.stage_dir(record.stage) / name
            if not path.exists():
                return f"{name} is missing"
            if self._digests.sha256(path) != digest:
                return f"{name} is not what was written"
        return ""

    def parent_of(self, stage: str, from_file: Path | None = None) -> Parent:
        """The manifest that `stage` reads: `from_file`, or the nearest complete earlier stage.

        Raises StaleStageError if there is none, or it no longer matches what it was made from.
        """
        if from_file is not None:
            return self._parent_file(self._fetched(from_file))
        for name in PARENTS[stage]:
            record = self.record(name)
            if record is None:
                if self.stage_dir(name).exists():
                    raise StaleStageError(
                        f"{name} was interrupted or is damaged", next_step=f"run `cleaner {name}` to finish it"
                    )
                continue
            why = self.why_stale(name)
            if why:
                command = "cleaner scan IMAGES" if name == "scan" else f"cleaner {name}"
                raise StaleStageError(f"{self.manifest_path(name)} is stale: {why}", next_step=f"run `{command}`")
            return Parent(name, self.manifest_path(name), record.outputs[MANIFEST], self._images_root(record))
        raise StaleStageError(
            f"{self.root}: no manifest for {stage} to read", next_step="run `cleaner scan IMAGES` first"
        )

    def why_stale(self, stage: str) -> str:
        """Why a complete stage no longer matches its manifest's digest or its parent's: '' if it does."""
        record = self.record(stage)
        if record is None:
            return "it has not run"
        why = self._why_damaged(record)
        if why or stage == "scan":
            return why
        parent = next(i for i in record.inputs if i.role == "parent")
        for name in PARENTS[stage]:
            above = self.record(name)
            if above is not None:
                why = self.why_stale(name)
                if why:
                    return f"{name} is stale ({why})"
                if (
                    above.outputs[MANIFEST] != parent.sha256
                    and self._resolve(parent.file) == self.manifest_path(name).resolve()
                ):
                    return f"{name} has run since"
                if self._resolve(parent.file) in {self.manifest_path(s).resolve() for s in STAGES if s != name}:
                    return f"it reads {parent.file}, and {name} has run since"
                break
        path = self._resolve(parent.file)
        if not path.exists() or self._digests.sha256(path) != parent.sha256:
            return f"{parent.file} has changed"
        return ""

    def relative(self, path: Path) -> str:
        """How a record names a file: relative to the workspace where it lies inside."""
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return str(path.resolve())

    def _resolve(self, name: str) -> Path:
        return (self.root / name).resolve()

    def _images_root(self, record: StageRecord) -> Path:
        """Where the images lie by the scan at the head of a record's lineage, which hears first that they moved."""
        manifests = {self.manifest_path(s).resolve(): s for s in STAGES}
        while True:
            parent = next((i for i in record.inputs if i.role == "parent"), None)
            above = None if parent is None else self.record(manifests.get(self._resolve(parent.file), ""))
            if above is None:
                return locate(record.images_root)
            record = above

    def _fetched(self, path: Path) -> Path:
        """A manifest behind a URL as a file of this workspace, the record beside it; any other as it is."""
        if not is_remote(path):
            return path
        folder = self.root / "fetched" / digest_of(str(path))[:12]
        for name in (path.name, RECORD):
            try:
                write_atomic(folder / name, read_bytes(f"{path.parent}/{name}"))
            except FileNotFoundError:  # a manifest is missed by whoever reads it; it may stand alone
                (folder / name).unlink(missing_ok=True)
        return folder / path.name

    def publish(self, stage: str, storage: Path) -> None:
        """Copy what a complete stage wrote to `storage/<stage>/`, the record, which completes it there, last."""
        record = self.record(stage)
        assert record is not None
        for name in [*record.outputs, RECORD]:
            write_atomic(storage / stage / name, (self.stage_dir(stage) / name).read_bytes())

    def _parent_file(self, path: Path) -> Parent:
        read_manifest(path, ["file_name", "image_id", "keep"])
        beside = path.parent / RECORD
        own = self.record("scan")
        if beside.exists():
            root = json.loads(beside.read_text(encoding="utf-8"))["images_root"]
        elif own is not None:
            root = own.images_root
        else:
            raise BadInputError(
                f"{path}: where its images lie is not known",
                expected=f"a {RECORD} beside it, or a scan in {self.root}",
                next_step="run `cleaner scan IMAGES` in this workspace first",
            )
        return Parent(manifest_stage(path) or "scan", path, sha256_file(path), locate(root))


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Which settings differ: name (`embedding.image_size` for a nested one), value before, value now.

    Paths are passed over: the digest of what lies there is among the inputs, and where it lies changes nothing.
    """
    was, flat = flat_settings(json.loads(json.dumps(before))), flat_settings(json.loads(json.dumps(now)))
    keys = [key for key in flat if key not in PATH_SETTINGS]
    return [(key, was.get(key), flat[key]) for key in keys if was.get(key) != flat[key]]


def flat_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of `embedding` beside the others, as `embedding.image_size`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat
