"""The manifest that is reviewed, read once and kept in memory; and where each image lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import ScanSettings
from cleaner.dataset.files import leads_out
from cleaner.dataset.lineage import why_stale
from cleaner.dataset.locations import locate
from cleaner.dataset.manifest import STAGES, read_manifest
from cleaner.dataset.names import image_path
from cleaner.dataset.stage_tables import CLASSES, read_stage_table
from cleaner.dataset.workspace import RECORD, StageRecord, Workspace
from cleaner.errors import CleanerError, StaleStageError
from cleaner.freed_memory import release_freed_memory
from cleaner.review.votes import Votes, read_votes

_TEXTS = (
    "drop_stage",
    "drop_reason",
    "clean_label",
    "label",
    "mode",
    "noise_evidence",
    "predicted_label",
    "suggested_label",
    "label_issue",
    "class_action",
)
"""Text columns with few distinct values: held as categories, so that a row costs no string."""
_FACTS = ("file_name", "image_id", "keep", "width", "height", "readable", "duplicate_group", "label_conflict")
_PIXELS = ("num_colors", "pixel_std", "pixel_id")
_NOISE = ("noise_prob", "is_noise", "noise_round")
_LABELS = ("given_rank", "self_confidence", "label_issue_prob", "suggested_prob")
_COLUMNS = (*_FACTS, *_TEXTS, *_PIXELS, *_NOISE, *_LABELS, "class_size")
_NUM_TYPICAL = 24


@dataclass(frozen=True)
class Catalogue:
    """One manifest. Rows are numbered by its order, that of file names."""

    stage: str
    record: StageRecord
    rows: pd.DataFrame
    warning: str
    """What is stale about it, or ''."""
    settings: dict[str, float]
    """Settings of the stages: threshold, doubtful, min_count."""
    max_pixels: int
    file_timeout_s: float
    """What a file may cost, as in the scan."""
    follows_links: bool
    findings: pd.DataFrame
    """Suspected classes (index: label): finding, overlaps_with, recognised_with, separability; docs/manifest.md."""
    votes: Votes
    """How annotators voted on the images."""

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The first row of each image_id."""
        ids = self.rows["image_id"].to_numpy()
        return {ids[i]: i for i in range(len(ids) - 1, -1, -1) if ids[i]}

    @cached_property
    def labels(self) -> list[str]:
        """Every class of the manifest, sorted."""
        return sorted({str(c) for name in ("label", "clean_label") for c in self.rows[name].cat.categories if c})

    @cached_property
    def known_labels(self) -> set[str]:
        """The same as a set."""
        return set(self.labels)

    @cached_property
    def copies(self) -> np.ndarray:
        """A number for each row (N,) int64 that rows of equal pixels share; -1 where a row has none."""
        keys = self.rows["pixel_key"].to_numpy()
        return np.where(keys >= 0, keys, -1)

    def equal_contents(self, image_id: str) -> list[str]:
        """The ids of all images with the pixels of `image_id`, itself first."""
        same = (self.copies == self.copies[self.row_of[image_id]]) & (self.copies >= 0)
        return list(dict.fromkeys([image_id, *map(str, self.rows["image_id"].to_numpy()[same])]))

    def path(self, row: int) -> Path | None:
        """The file of a row, or None if its name leads out of the images root."""
        name = PurePosixPath(str(self.rows["file_name"].iloc[row]))
        if name.is_absolute() or ".." in name.parts:
            return None
        root = locate(self.record.images_root)
        path = image_path(root, str(name))
        if not self.follows_links and leads_out(str(root.resolve()), str(path.resolve())):
            return None
        return path

    def typical(self, label: str, num: int = _NUM_TYPICAL) -> list[str]:
        """Images that best show what the class `label` is: kept, the surest first, no near copies."""
        order, starts = self._by_class
        names = list(self.rows["clean_label"].cat.categories)
        if label not in names:
            return []
        code = names.index(label)
        mine = order[starts[code] : starts[code + 1]][: 3 * num]
        groups = self.rows["duplicate_group"].to_numpy()[mine]
        first = [i for i, g in enumerate(groups) if g < 0 or g not in groups[:i]]
        return [str(i) for i in self.rows["image_id"].to_numpy()[mine[first]][:num]]

    @cached_property
    def _by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Kept rows ordered by class, the most typical first within each; and where each class begins."""
        rows = self.rows
        good = np.flatnonzero(rows["keep"].to_numpy() & rows["readable"].to_numpy())
        code = rows["clean_label"].cat.codes.to_numpy()[good]
        doubt = np.zeros(len(good))
        if "self_confidence" in rows:
            issue = (rows["label_issue"] != "").to_numpy()[good]
            doubt = 1 - np.nan_to_num(rows["self_confidence"].to_numpy()[good].astype(np.float64)) + issue
        elif "noise_prob" in rows:
            doubt = np.nan_to_num(rows["noise_prob"].to_numpy()[good].astype(np.float64), nan=1.0)
        elif "num_colors" in rows:  # after the scan alone: least like a chart or a blank image first
            doubt = -rows[["num_colors", "pixel_std"]].rank(pct=True).min(axis=1).fillna(0).to_numpy()[good]
        order = good[np.lexsort((doubt, code))]
        starts = np.searchsorted(np.sort(code), np.arange(len(rows["clean_label"].cat.categories) + 1))
        return order, starts


def load_catalogue(workspace: Workspace) -> Catalogue:
    """The last stage whose manifest is complete and up to date.

    Raises StaleStageError without a scan.
    """
    warning = ""
    for stage in reversed(STAGES):
        if workspace.record(stage) is None:
            continue
        why = why_stale(workspace, stage)
        if not why:
            return _read(workspace, stage, warning)
        warning = warning or f"{stage} is left aside, it is stale: {why}; run `cleaner {stage}`"
    raise StaleStageError(
        f"{workspace.root}: there is no manifest to review", found=warning, next_step="run `cleaner scan IMAGES` first"
    )


def signature(workspace: Workspace) -> tuple[float, ...]:
    """Changes when a stage has run: the times at which the records were written."""
    paths = [workspace.stage_dir(stage) / RECORD for stage in STAGES]
    return tuple(p.stat().st_mtime if p.exists() else 0.0 for p in paths)


def _read(workspace: Workspace, stage: str, warning: str) -> Catalogue:
    path = workspace.manifest_path(stage)
    record = workspace.record(stage)
    assert record is not None
    rows = read_manifest(path, optional=_COLUMNS)
    for name in _TEXTS:
        if name in rows:
            rows[name] = rows[name].astype("category")
    keys = rows.pop("pixel_id") if "pixel_id" in rows else rows["image_id"]
    codes = pd.factorize(keys)[0]
    rows["pixel_key"] = np.where((keys == "").to_numpy(), -1, codes)
    release_freed_memory()
    scan = _settings(workspace, "scan")
    return Catalogue(
        stage=stage,
        record=record,
        rows=rows,
        warning=warning,
        settings={
            "threshold": float(_settings(workspace, "noise").get("threshold", 0.9)),
            "doubtful": float(_settings(workspace, "noise").get("doubtful", 0.5)),
            "min_count": float(_settings(workspace, "balance").get("min_count", 50)),
        },
        max_pixels=int(scan.get("max_pixels", ScanSettings.max_pixels)),
        file_timeout_s=float(scan.get("file_timeout", ScanSettings.file_timeout)),
        follows_links=bool(scan.get("follow_symlinks", False)),
        findings=_findings(workspace, stage),
        votes=read_votes(workspace, rows["file_name"]),
    )


def _findings(workspace: Workspace, stage: str) -> pd.DataFrame:
    columns = ["finding", "overlaps_with", "recognised_with", "separability"]
    path = workspace.stage_dir(stage) / "classes.parquet"
    if stage not in CLASSES or not path.exists():
        return pd.DataFrame(columns=columns)
    table = read_stage_table(path, CLASSES[stage], ["label", *columns]).set_index("label")
    return table[table["finding"] != ""]


def _settings(workspace: Workspace, stage: str) -> dict[str, Any]:
    try:
        record = workspace.record(stage)
    except CleanerError:
        return {}
    return record.settings if record else {}
