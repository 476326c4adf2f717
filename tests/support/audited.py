"""A stage with planted faults of every stratum, and people's answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.audit.draw import open_audit
from cleaner.audit.results import AuditResult, compute_results
from cleaner.dataset.audits import find_open_sample, load_open_sample
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.manifest import write_manifest
from cleaner.dataset.workspace import Workspace
from tests.support.records import record_of

SIZES = {
    "": 900,
    "noise_image": 120,
    "label_issue_coarse": 70,
    "jumbled_class": 20,
    "exact_duplicate": 30,
    "unreadable": 10,
}
"""Rows by drop reason; '' are the kept ones."""


def image_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_rows(sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    names = [f"{reason or 'kept'}_{i:04d}.jpg" for reason, num in sizes.items() for i in range(num)]
    reasons = [reason for reason, num in sizes.items() for _ in range(num)]
    frame = pd.DataFrame({"file_name": names, "image_id": [image_id(n) for n in names], "drop_reason": reasons})
    frame["keep"] = frame["drop_reason"] == ""
    frame["drop_stage"] = np.where(frame["keep"], "", "scan").astype(object)
    frame["clean_label"] = frame["label"] = [f"class{i % 7}" for i in range(len(frame))]
    frame["split"] = "train"
    return frame


def write_stage(workspace: Workspace, rows: pd.DataFrame) -> None:
    """One complete stage; which one it is does not matter here."""
    folder = workspace.begin("scan")
    write_manifest(folder / "manifest.parquet", rows, stage="scan", parent_sha256="")
    record = record_of("scan")
    workspace.write_record(record, ["manifest.parquet"])


def make_workspace(root: Path) -> Workspace:
    place = Workspace(root)
    write_stage(place, make_rows())
    return place


def draw(workspace: Workspace, num_kept: int | None = 300, num_dropped: int = 50, seed: int = 0) -> None:
    open_audit(workspace, None, num_kept=num_kept, num_dropped=num_dropped, goal=0.01, seed=seed)


def results(workspace: Workspace, goal: float = 0.01) -> AuditResult:
    sample = find_open_sample(workspace)
    assert sample is not None
    return compute_results(workspace, sample, goal)


def answer(workspace: Workspace, bad: dict[str, tuple[str, str]] | None = None, *, annotator: str = "ann") -> None:
    """Say of every sampled image that its label is right, but of those in `bad` (file_name) something else."""
    events = []
    for key, name, label in load_open_sample(workspace).itertuples(index=False):
        verdict, chosen = (bad or {}).get(name, ("label", label))
        events.append(Event(kind="image", key=key, verdict=verdict, label=chosen, queue="audit", annotator=annotator))
    DecisionStore(workspace.decisions_path).merge(events)


def sampled(workspace: Workspace, stratum: str) -> list[str]:
    sample = find_open_sample(workspace)
    assert sample is not None
    return sample.rows.loc[sample.rows["stratum"] == stratum, "file_name"].tolist()
