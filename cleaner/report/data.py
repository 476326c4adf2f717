"""The sources of the report: the last manifest, the stages' records and tables, decisions, the audit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from cleaner.audit.results import AuditResult, compute_results
from cleaner.dataset.audits import find_open_sample
from cleaner.dataset.column_checks import check_column
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.embedding_map import read_map_points, read_map_record
from cleaner.dataset.lineage import open_parent, trace
from cleaner.dataset.locations import locate
from cleaner.dataset.manifest_rows import reading_manifest
from cleaner.dataset.stage_tables import CLASSES, read_stage_table
from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.errors import BadInputError, CleanerError, StaleStageError

_DROP_TEXTS = ["drop_stage", "drop_reason", "clean_label", "label", "split", "fault"]
_COPY_TEXTS = ["duplicate_kind", "duplicate_relation"]
_STAGE_TEXTS = ["noise_evidence", "noise_reason", "predicted_label", "label_issue", "label_evidence", "class_action"]
_TEXTS = [*_DROP_TEXTS, *_COPY_TEXTS, *_STAGE_TEXTS]
"""Columns with few different values: held as categories, so that half a million rows stay small."""
_FACTS = ["file_name", "image_id", "keep", "width", "height", "readable", "duplicate_group", "label_conflict"]
_NOISE = ["noise_prob", "is_noise", "noise_round"]
_LABELS = ["given_rank", "self_confidence", "predicted_confidence", "label_issue_prob", "pulled_back_round"]
_COLUMNS = [*_FACTS, *_NOISE, *_LABELS, "repeats", *_TEXTS]
_NEEDED = ["file_name", "image_id", "keep", "drop_stage", "drop_reason", "label"]


@dataclass(frozen=True)
class ReportData:
    """Everything that the sections are computed from."""

    workspace: Workspace
    stage: str
    """The last complete stage, whose manifest `rows` are."""
    records: dict[str, StageRecord]
    """The records of `stage` and of those it was made from, in order."""
    rows: pd.DataFrame
    classes: pd.DataFrame | None
    """The class table of balance (index: the class's name)."""
    images_root: Path
    stale: str
    """Why the manifest no longer matches what it was made from; '' if it does."""
    events: pd.DataFrame
    verdicts: pd.DataFrame
    undecided: pd.DataFrame
    map_points: pd.DataFrame | None
    """Where `cleaner map` placed the images (index: image_id; x and y); None without a map that can be read."""
    audit: AuditResult | None
    audit_fault: str
    """Why there is no audit although one was made."""

    def setting(self, stage: str, name: str, default: Any) -> Any:
        """A setting that a stage ran with."""
        return self.records[stage].settings.get(name, default) if stage in self.records else default

    def notes(self, stage: str) -> dict[str, Any]:
        """The notes in a stage's record; empty without a record."""
        return self.records[stage].notes if stage in self.records else {}

    def has(self, *columns: str) -> bool:
        """Whether the manifest has these columns."""
        return all(name in self.rows for name in columns)


def load_report_data(workspace: Workspace) -> ReportData:
    """Read all that the report shows.

    Raises StaleStageError where no stage is complete, BadInputError where the manifest cannot be read.
    """
    stage = workspace.latest()
    if stage is None:
        raise StaleStageError(
            f"{workspace.root}: there is nothing to report on", next_step="run `cleaner scan IMAGES` first"
        )
    rows = _read_rows(workspace.manifest_path(stage))
    records = {link.record.stage: link.record for link in trace(workspace, stage)}
    root, stale = _images_root(workspace, records[stage])
    store = DecisionStore(workspace.decisions_path)
    audit, fault = _audit(workspace)
    return ReportData(
        workspace=workspace,
        stage=stage,
        records=records,
        rows=rows,
        classes=_classes(workspace, stage),
        images_root=root,
        stale=stale,
        events=store.events(),
        verdicts=store.image_verdicts(),
        undecided=store.undecided(),
        map_points=_map_points(workspace),
        audit=audit,
        audit_fault=fault,
    )


def _read_rows(path: Path) -> pd.DataFrame:
    with reading_manifest(path):
        there = pq.read_schema(path).names
        columns = [name for name in _COLUMNS if name in there]
        texts = [name for name in _TEXTS if name in there]
        table = pq.read_table(path, columns=columns, read_dictionary=texts)
        for name in columns:
            check_column(path, name, table.column(name))
        rows = table.to_pandas()
    absent = [name for name in _NEEDED if name not in rows]
    if absent:
        raise BadInputError(f"{path}: not a cleaner manifest", expected=f"columns {', '.join(absent)}")
    assert isinstance(rows, pd.DataFrame)
    return rows


def _images_root(workspace: Workspace, record: StageRecord) -> tuple[Path, str]:
    try:
        return open_parent(workspace, "export").images_root, ""
    except CleanerError as error:
        return locate(record.images_root), error.what


def _classes(workspace: Workspace, stage: str) -> pd.DataFrame | None:
    path = workspace.stage_dir("balance") / "classes.parquet"
    if stage != "balance" or not path.exists():
        return None
    return read_stage_table(path, CLASSES["balance"]).set_index("label")


def _map_points(workspace: Workspace) -> pd.DataFrame | None:
    if read_map_record(workspace) is None:
        return None
    try:
        return read_map_points(workspace)
    except CleanerError:
        return None


def _audit(workspace: Workspace) -> tuple[AuditResult | None, str]:
    try:
        sample = find_open_sample(workspace)
    except CleanerError as error:
        return None, error.what
    return (None, "") if sample is None else (compute_results(workspace, sample), "")


def plain(value: Any) -> Any:
    """`value` as JSON has it: NaN becomes None, numpy numbers become Python's."""
    return json.loads(json.dumps(value, default=_plain_number), parse_constant=lambda _: None)


def _plain_number(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")
