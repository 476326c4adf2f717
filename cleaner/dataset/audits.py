"""Blind random samples of a manifest, kept under WORK/audit/<first digits of the manifest's SHA-256>/."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import find_undone
from cleaner.dataset.manifest import write_table
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.stage_tables import AUDIT_JUDGED, AUDIT_SAMPLE, read_stage_table
from cleaner.dataset.store import write_json
from cleaner.dataset.workspace import MANIFEST, Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.reading import read_document

AUDIT_QUEUE = "audit"
"""The queue whose decisions answer an audit."""
KEPT = "kept"
"""The stratum of the kept images; the others are named by their drop reason."""

_FOLDER = "audit"
_PREFIX = 12
_SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """`sample.json`: what the sample was drawn from, and how."""

    stage: str
    manifest_sha256: str
    seed: int
    created_utc: str
    after_seq: int
    """Number of the last decision before the draw: only later ones answer the audit."""
    splits: list[str]
    sizes: dict[str, int]
    """Rows of each stratum that had no verdict when the sample was drawn."""
    judged_sizes: dict[str, int]
    """Rows of each stratum that already had a verdict; none of them is sampled."""
    draws: list[dict[str, object]] = field(default_factory=list)
    """Each draw: its time and the requested sizes."""
    schema_version: int = _SCHEMA_VERSION


@dataclass(frozen=True)
class AuditSample:
    """A drawn sample. `rows` are in the shuffled order in which people see them."""

    record: AuditRecord
    rows: pd.DataFrame
    """image_id, file_name, label (the class under which the image counts), stratum."""
    judged: pd.DataFrame
    """Rows that already had a verdict: the same columns, with verdict and verdict_label as they were then."""


def audit_dir(workspace: Workspace, manifest_sha256: str) -> Path:
    """The folder of a manifest's audit."""
    return workspace.root / _FOLDER / manifest_sha256[:_PREFIX]


def write_sample(workspace: Workspace, sample: AuditSample) -> None:
    """Write a sample; `sample.json` is written last and completes it."""
    folder = audit_dir(workspace, sample.record.manifest_sha256)
    write_table(folder / "sample.parquet", sample.rows, AUDIT_SAMPLE.schema)
    write_table(folder / "judged.parquet", sample.judged, AUDIT_JUDGED.schema)
    write_json(folder / "sample.json", dataclasses.asdict(sample.record))


def read_sample(workspace: Workspace, manifest_sha256: str) -> AuditSample | None:
    """The sample of the manifest with this digest, or None if none was drawn. Raises BadInputError if it is damaged."""
    folder = audit_dir(workspace, manifest_sha256)
    path = folder / "sample.json"
    if not path.exists():
        return None
    record = read_document(path, AuditRecord, "record of an audit", f"remove {folder} and run `cleaner audit`")
    rows = read_stage_table(folder / "sample.parquet", AUDIT_SAMPLE)
    judged = read_stage_table(folder / "judged.parquet", AUDIT_JUDGED)
    unknown = sorted(set(rows["stratum"]) - record.sizes.keys())
    if unknown or record.stage not in STAGES or not record.manifest_sha256.startswith(folder.name):
        raise BadInputError(
            f"{path}: not the record of the sample beside it, or damaged",
            expected=f"an audit of the manifest {folder.name}…, with the size of each stratum",
            found=f"{record.stage}, manifest {record.manifest_sha256[:_PREFIX]}…, strata {', '.join(record.sizes)}",
            next_step=f"remove {folder} and run `cleaner audit`",
        )
    return AuditSample(record, rows, judged)


def find_open_sample(workspace: Workspace) -> AuditSample | None:
    """The latest sample whose manifest is still current, or None.

    Raises StaleStageError if samples were drawn, but all of their manifests have been replaced.
    """
    drawn = _drawn_samples(workspace)
    for sample in reversed(drawn):
        stage = workspace.record(sample.record.stage)
        if stage is not None and stage.outputs[MANIFEST] == sample.record.manifest_sha256:
            return sample
    if drawn:
        raise StaleStageError(
            f"the audit of {drawn[-1].record.stage} is stale: the stage has run again, and its manifest has changed",
            next_step="run `cleaner audit` to draw a new sample",
        )
    return None


def find_last_sample(workspace: Workspace) -> AuditSample | None:
    """The latest sample, or None; its manifest may have been replaced, but verdicts on its images still hold."""
    drawn = _drawn_samples(workspace)
    return drawn[-1] if drawn else None


def _drawn_samples(workspace: Workspace) -> list[AuditSample]:
    records = sorted((workspace.root / _FOLDER).glob("*/sample.json"))
    samples = [read_sample(workspace, path.parent.name) for path in records]
    return sorted((s for s in samples if s is not None), key=lambda s: s.record.created_utc)


def find_answered(store: DecisionStore, after_seq: int) -> set[str]:
    """Images (image_id) with a decision in the audit after decision number `after_seq` that was not undone."""
    events = store.events_after(after_seq)
    undone = find_undone(events)  # an event is undone by a later one, so these suffice
    answers = [e for e in events if e.queue == AUDIT_QUEUE and e.kind == "image" and e.verdict]
    return {e.key for e in answers if e.seq not in undone}


def load_open_sample(workspace: Workspace) -> pd.DataFrame:
    """The images to look at: columns image_id, file_name, label, in the shuffled order, without the stratum.

    Nothing in it tells kept images from dropped ones. An image may be listed under two labels; one verdict covers
    both. Raises BadInputError if no audit is open, StaleStageError if the last one is stale.
    """
    sample = find_open_sample(workspace)
    if sample is None:
        raise BadInputError(f"{workspace.root}: no audit is open", next_step="run `cleaner audit` to draw a sample")
    return sample.rows[["image_id", "file_name", "label"]].reset_index(drop=True)
