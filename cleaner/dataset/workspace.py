"""A workspace: the stages' outputs, and a record of what each was made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cleaner import __version__
from cleaner.dataset.digests import DigestCache
from cleaner.dataset.locations import is_remote
from cleaner.dataset.record_contents import check_contents
from cleaner.dataset.stage_inputs import SCHEMA_VERSION, STAGES
from cleaner.dataset.store import exclusive_lock, shared_lock, utc_now, write_atomic, write_json
from cleaner.errors import BadInputError, StaleStageError
from cleaner.reading import reading

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.parquet"
RECORD = "stage.json"


@dataclass(frozen=True)
class Input:
    """One input of a stage."""

    role: str
    """parent, images, labels, seeds, decisions, pred_probs, weights, val, teacher, audit or against."""
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """`stage.json`: written last, so a stage directory that has one is complete."""

    stage: str
    settings: dict[str, Any]
    seed: int
    images_root: str
    inputs: list[Input]
    outputs: dict[str, str]
    counts: dict[str, Any]
    backbone: dict[str, Any]
    """The first network; empty if none was used."""
    device: str
    threads: int
    seconds: float
    notes: dict[str, Any] = field(default_factory=dict)
    backbones: list[dict[str, Any]] = field(default_factory=list)
    """All networks whose embeddings were joined, the first of them too."""
    schema_version: int = SCHEMA_VERSION
    cleaner_version: str = __version__
    created_utc: str = ""
    command_line: list[str] = field(default_factory=list)
    """Names of the settings given on the command line, not by a file, the environment or a default."""

    def find_input(self, role: str) -> Input | None:
        """The first input in `role`, if there is one."""
        return next((i for i in self.inputs if i.role == role), None)

    def input_sha256(self, role: str) -> str:
        """The digest of the input in `role`, or '' if there was none."""
        found = self.find_input(role)
        return found.sha256 if found is not None else ""


def read_record(path: Path, next_step: str) -> StageRecord:
    """The record in a file. Raises BadInputError if there is none, or it is not what a stage writes."""
    with reading(path, "stage record of this version", next_step):
        record = msgspec.convert(json.loads(path.read_bytes()), StageRecord)
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in record.outputs):
            raise ValueError("an output lies outside of the stage's folder")
        if record.stage in STAGES and MANIFEST not in record.outputs:
            raise ValueError(f"it lacks the digest of {MANIFEST}")
        check_contents(record.stage, record.counts, record.settings, record.notes)
    return record


class Workspace:
    """The folder that holds the stages' output; see docs/manifest.md for its layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests = DigestCache(self.cache / "digests.json", root)

    @property
    def decisions_path(self) -> Path:
        """The SQLite file of people's decisions."""
        return self.root / "decisions.sqlite"

    @property
    def cache(self) -> Path:
        """The cache, which may be deleted at any time."""
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

    def lock_for_reading(self) -> AbstractContextManager[None]:
        """Keep those that write out of the workspace for a `with` block; writes nothing."""
        return shared_lock(self.root / ".lock")

    def record(self, stage: str) -> StageRecord | None:
        """The record of a complete stage, or None."""
        path = self.stage_dir(stage) / RECORD
        if not path.exists():
            return None
        again = f"run `cleaner {stage} --force`"
        record = read_record(path, again)
        if record.stage != stage:
            raise BadInputError(f"{path}: the record of another stage", found=record.stage, next_step=again)
        return record

    def write_record(self, record: StageRecord, files: list[str]) -> StageRecord:
        """Complete a stage: add the digests of `files` (in its directory) and the time, and write `stage.json`."""
        folder = self.stage_dir(record.stage)
        now = utc_now("seconds")
        done = dataclasses.replace(
            record, outputs={name: self.digests.compute(folder / name) for name in sorted(files)}, created_utc=now
        )
        self.digests.save()
        order = ["schema_version", "stage", "cleaner_version", "created_utc"]
        document = dataclasses.asdict(done)
        write_json(folder / RECORD, {k: document[k] for k in [*order, *(k for k in document if k not in order)]})
        return done

    def begin(self, stage: str) -> Path:
        """Make a stage's directory and mark the stage incomplete; later stages become stale, as their digests show."""
        folder = self.stage_dir(stage)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        return folder

    def read(self, stage: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """The manifest of `stage` as a DataFrame."""
        from cleaner.dataset.manifest import read_manifest  # loads pandas, which takes a quarter of a second

        return read_manifest(self.manifest_path(stage), columns)

    def manifest(self, stage: str = "", columns: Sequence[str] = ()) -> pd.DataFrame:
        """The manifest of `stage`, or of the last complete stage. Raises StaleStageError if there is none."""
        name = stage or self.last_stage()
        if name not in STAGES:
            raise StaleStageError(
                f"{self.root}: no stage {stage!r}",
                expected=f"one of {', '.join(STAGES)}",
                next_step="run `cleaner scan IMAGES` first",
            )
        return self.read(name, columns)

    def last_stage(self) -> str:
        """The last complete stage. Raises StaleStageError if there is none."""
        name = self.latest()
        if name is None:
            raise StaleStageError(
                f"{self.root}: no stage has run",
                expected=f"one of {', '.join(STAGES)}",
                next_step="run `cleaner scan IMAGES` first",
            )
        return name

    def latest(self) -> str | None:
        """The last complete stage, or None."""
        done = [s for s in STAGES if (self.stage_dir(s) / RECORD).exists()]
        return done[-1] if done else None

    def why_damaged(self, record: StageRecord) -> str:
        """Why an output of a complete stage is missing or not as written; '' if all are in order."""
        for name, digest in record.outputs.items():
            path = self.stage_dir(record.stage) / name
            if not path.exists():
                return f"{name} is missing"
            if self.digests.sha256(path) != digest:
                return f"{name} is not what was written"
        return ""

    def relative(self, path: Path) -> str:
        """The name of a file in a record: relative to the workspace if it lies inside."""
        if is_remote(path):
            return str(path)
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return str(path.resolve())

    def stage_of(self, file: str) -> str:
        """The stage whose manifest is `file`, named as in a record; '' if it is none's."""
        path = (self.root / file).resolve()
        return next((stage for stage in STAGES if path == self.manifest_path(stage).resolve()), "")

    def publish(self, stage: str, storage: Path) -> None:
        """Copy a complete stage's files to `storage/<stage>/`, the record last, as it marks completion there too."""
        record = self.record(stage)
        assert record is not None
        for name in [*record.outputs, RECORD]:
            write_atomic(storage / stage / name, (self.stage_dir(stage) / name).read_bytes())
