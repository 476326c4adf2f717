"""One run of a stage: its inputs, whether it is up to date, and the record that completes it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from cleaner.config import RunOptions
from cleaner.dataset.events import Event
from cleaner.dataset.lineage import Parent, open_parent
from cleaner.dataset.locations import locate
from cleaner.dataset.manifest import read_manifest, write_manifest
from cleaner.dataset.stage_inputs import STAGE_INPUTS
from cleaner.dataset.staleness import RunRequest, find_inputs, why_run
from cleaner.dataset.verdicts import read_verdicts, used_classes, used_digest, used_images
from cleaner.dataset.workspace import MANIFEST, Input, StageRecord, Workspace
from cleaner.settings import Settings

log = logging.getLogger(__name__)
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class StageResult:
    """The result of running a stage."""

    record: StageRecord
    was_current: bool
    """True if the stage was up to date and did nothing."""
    warnings: list[str] = field(default_factory=list)
    would_run: str = ""
    """In a dry run, why the stage would run; '' if it is up to date. The record is then empty."""


@dataclass(frozen=True)
class Machine:
    """The network and machine that a stage used, for its record."""

    backbones: Sequence[dict[str, Any]] = ()
    """The networks, as `describe()` of a backbone gives them; none if no network was used."""
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class StageRun(Generic[S]):
    """One run of a stage with settings of type S.

    A stage reads its parent's manifest and people's verdicts only through this class, which records a digest of all
    that it hands out. So a stage becomes stale when anything that it read changes.
    """

    workspace: Workspace
    settings: S
    options: RunOptions
    _request: RunRequest
    _started: float

    @classmethod
    def open(
        cls, workspace: Workspace, stage: str, settings: S, options: RunOptions, from_file: Path | None = None
    ) -> StageRun[S]:
        """A run of `stage` that reads the nearest complete stage before it, or the manifest `from_file`.

        Raises StaleStageError if what it has to read is missing or stale, BadInputError if it cannot be used.
        """
        started, declared = time.monotonic(), STAGE_INPUTS[stage]
        verdicts = read_verdicts(workspace)  # once: decisions made while the stage runs are left to the next run
        parent = None
        if declared.parents:
            parent = open_parent(workspace, stage, from_file, verdicts if declared.waits_for_verdicts else None)
        request = RunRequest(stage=stage, settings=settings, seed=options.seed, parent=parent, verdicts=verdicts)
        return cls(workspace=workspace, settings=settings, options=options, _request=request, _started=started)

    def reading(self, *inputs: Input) -> StageRun[S]:
        """The same run with further `inputs`, which are not named by settings."""
        return replace(self, _request=replace(self._request, others=(*self._request.others, *inputs)))

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self._request.stage

    @property
    def parent(self) -> Parent:
        """The manifest that the stage reads; every stage but scan has one."""
        assert self._request.parent is not None, f"{self.stage} reads no manifest"
        return self._request.parent

    @cached_property
    def inputs(self) -> list[Input]:
        """Everything that the stage reads except verdicts, with digests. Raises BadInputError for a missing file."""
        return find_inputs(self.workspace, self._request)

    def read_parent(
        self, columns: Sequence[str] = (), optional: Sequence[str] = (), packed: Sequence[str] = ()
    ) -> pd.DataFrame:
        """The parent's manifest ordered by file_name: all columns, or `columns` and any of `optional` that exist; text
        of `packed` as `read_manifest` has it.
        """
        return read_manifest(self.parent.path, columns, optional, packed)

    def image_verdicts(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The verdicts that this stage uses on images of `rows`: index image_id, columns verdict and label.

        `rows` has the column image_id; for the noise stage's `label` verdicts also `is_noise`.
        """
        verdicts = self._request.verdicts
        known = rows[rows["image_id"].isin(list(verdicts.images))]
        noise_ids = set(known.loc[known["is_noise"], "image_id"]) if "is_noise" in known else set()
        used = used_images(verdicts, self.stage, known["image_id"], noise_ids)
        index = pd.Index(list(used), name="image_id", dtype=object)
        values = [(e.verdict, e.label) for e in used.values()]
        return pd.DataFrame(values, index=index, columns=["verdict", "label"], dtype=object)

    @property
    def class_verdicts(self) -> dict[str, Event]:
        """The verdicts on classes that this stage uses, by name of the class."""
        return used_classes(self._request.verdicts, self.stage)

    def current(self) -> StageResult | None:
        """The result if the stage need not run: that of the earlier run, or of a dry run; None if it has to run."""
        inputs = self.inputs  # even if forced: a missing file is an error now rather than at the end
        why = "it was told to (--force)" if self.options.force else why_run(self.workspace, self._request, inputs)
        if why and self.options.dry_run:
            return planned(self.stage, why)
        if why:
            log.info("%s runs: %s", self.stage, why)
            return None
        record = self.workspace.record(self.stage)
        assert record is not None
        return StageResult(record, was_current=True)

    def begin(self) -> Path:
        """Make the stage's folder and mark the stage incomplete."""
        return self.workspace.begin(self.stage)

    def complete(
        self,
        manifest: pd.DataFrame,
        *,
        counts: Mapping[str, Any],
        files: Sequence[str] = (),
        machine: Machine | None = None,
        notes: Mapping[str, Any] | None = None,
        warnings: Sequence[str] = (),
        base: Path | None = None,
    ) -> StageResult:
        """Write the manifest, with the columns of the manifest `base` that it lacks, then the record.

        `counts` are added to the counts of rows; `files` are further files in the stage's folder.
        """
        path = self.workspace.manifest_path(self.stage)
        parent = self._request.parent
        write_manifest(path, manifest, stage=self.stage, parent_sha256=parent.sha256 if parent else "", base=base)
        return self.complete_files(
            [MANIFEST, *files],
            counts=row_counts(manifest, self.stage) | dict(counts),
            machine=machine,
            notes=notes,
            warnings=warnings,
        )

    def complete_files(
        self,
        files: Sequence[str],
        *,
        counts: Mapping[str, Any],
        machine: Machine | None = None,
        notes: Mapping[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> StageResult:
        """Write the record of `files` in the stage's folder, which completes the stage."""
        machine = machine or Machine()
        images = next((i.file for i in self.inputs if i.role == "images"), "")
        record = StageRecord(
            stage=self.stage,
            settings=self.settings.as_record(),
            seed=self.options.seed,
            images_root=images or str(self.parent.images_root),
            inputs=[*self.inputs, *self._decisions()],
            outputs={},
            counts=dict(counts),
            backbone=machine.backbones[0] if machine.backbones else {},
            backbones=list(machine.backbones),
            device=machine.device,
            threads=machine.threads,
            seconds=round(time.monotonic() - self._started, 2),
            notes=dict(notes or {}),
            command_line=list(self.options.command_line),
        )
        record = self.workspace.write_record(record, list(files))
        if self.options.storage:
            self.workspace.publish(self.stage, locate(self.options.storage))
        return StageResult(record, was_current=False, warnings=list(warnings))

    def _decisions(self) -> list[Input]:
        """The verdicts used, as an input of the record; from the manifest just written, as `staleness` compares it."""
        if not STAGE_INPUTS[self.stage].uses_verdicts:
            return []
        file = self.workspace.relative(self.workspace.decisions_path)
        return [Input("decisions", file, used_digest(self.workspace, self.stage, self._request.verdicts))]


def planned(stage: str, why: str) -> StageResult:
    """The result of a dry run of a stage that would run."""
    record = StageRecord(
        stage=stage,
        settings={},
        seed=0,
        images_root="",
        inputs=[],
        outputs={},
        counts={},
        backbone={},
        device="",
        threads=0,
        seconds=0.0,
    )
    return StageResult(record, was_current=False, would_run=why)


def row_counts(manifest: pd.DataFrame, stage: str) -> dict[str, Any]:
    """The numbers of rows, of kept rows, and of rows that `stage` dropped, by reason."""
    mine = manifest.loc[manifest["drop_stage"] == stage, "drop_reason"]
    return {"rows": len(manifest), "kept": int(manifest["keep"].sum()), "dropped": dict(sorted(Counter(mine).items()))}
