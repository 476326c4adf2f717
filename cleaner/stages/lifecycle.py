"""What every stage does around its own work: is it up to date, begin, write the manifest, complete the record."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cleaner.config import RunOptions
from cleaner.dataset.locations import locate
from cleaner.dataset.manifest import write_manifest
from cleaner.dataset.workspace import MANIFEST, Input, StageRecord, Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """What a stage hands back to its caller."""

    record: StageRecord
    was_current: bool
    """True if the stage was up to date and did nothing."""
    warnings: list[str] = field(default_factory=list)
    would_run: str = ""
    """In a dry run, why the stage would run; '' if it is up to date. Its record is then one of nothing done."""


def settings_dict(settings: Any) -> dict[str, Any]:
    """Settings as plain JSON values, as `stage.json` records them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(settings).items()}


def current_result(
    workspace: Workspace, stage: str, settings: Any, options: RunOptions, inputs: list[Input]
) -> StageResult | None:
    """The result of the earlier run if the stage is up to date and not forced, else None; never None in a dry run."""
    why = "it was told to (--force)" if options.force else ""
    why = why or workspace.why_not_current(stage, settings_dict(settings), options.seed, inputs)
    if why and options.dry_run:
        return planned(stage, why)
    if why:
        log.info("%s runs: %s", stage, why)
        return None
    record = workspace.record(stage)
    assert record is not None
    return StageResult(record, was_current=True)


def planned(stage: str, why: str) -> StageResult:
    """What a dry run says of a stage that would run."""
    nothing: dict[str, Any] = {"settings": {}, "outputs": {}, "counts": {}, "backbone": {}}
    record = StageRecord(stage=stage, seed=0, images_root="", inputs=[], device="", threads=0, seconds=0.0, **nothing)
    return StageResult(record, was_current=False, would_run=why)


def complete(
    workspace: Workspace,
    stage: str,
    manifest: pd.DataFrame,
    *,
    settings: Any,
    options: RunOptions,
    images_root: str,
    inputs: list[Input],
    started: float,
    base: Path | None = None,
    files: tuple[str, ...] = (),
    counts: dict[str, Any] | None = None,
    backbone: dict[str, Any] | None = None,
    device: str = "cpu",
    threads: int = 1,
    notes: dict[str, Any] | None = None,
) -> StageResult:
    """Write the manifest, with the columns of `base` that it lacks, then `stage.json`.

    `started` is `time.monotonic()` at the stage's beginning.
    """
    parent = next((i.sha256 for i in inputs if i.role == "parent"), "")
    write_manifest(workspace.manifest_path(stage), manifest, stage=stage, parent_sha256=parent, base=base)
    result = record_stage(
        workspace, stage, (MANIFEST, *files),
        settings=settings, options=options, images_root=images_root, inputs=inputs, started=started,
        counts=row_counts(manifest, stage) | (counts or {}), backbone=backbone, device=device, threads=threads,
        notes=notes,
    )  # fmt: skip
    if options.storage:
        workspace.publish(stage, locate(options.storage))
    return result


def record_stage(
    workspace: Workspace,
    stage: str,
    files: Sequence[str],
    *,
    settings: Any,
    options: RunOptions,
    images_root: str,
    inputs: list[Input],
    started: float,
    counts: dict[str, Any],
    backbone: dict[str, Any] | None = None,
    device: str = "cpu",
    threads: int = 1,
    notes: dict[str, Any] | None = None,
) -> StageResult:
    """Write `stage.json` over the `files` that lie in the stage's folder; after it the stage is complete."""
    record = StageRecord(
        stage=stage,
        settings=settings_dict(settings),
        seed=options.seed,
        images_root=images_root,
        inputs=inputs,
        outputs={},
        counts=counts,
        backbone=backbone or {},
        device=device,
        threads=threads,
        seconds=round(time.monotonic() - started, 2),
        notes=notes or {},
        command_line=list(options.command_line),
    )
    return StageResult(workspace.write_record(record, list(files)), was_current=False)


def row_counts(manifest: pd.DataFrame, stage: str) -> dict[str, Any]:
    """Rows, rows kept, and rows that `stage` dropped by reason."""
    mine = manifest.loc[manifest["drop_stage"] == stage, "drop_reason"]
    return {"rows": len(manifest), "kept": int(manifest["keep"].sum()), "dropped": dict(sorted(Counter(mine).items()))}
