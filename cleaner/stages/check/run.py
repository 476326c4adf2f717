"""`cleaner check`: are new images fit to join a set that was cleaned before?"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.events import Event
from cleaner.dataset.files import list_files
from cleaner.dataset.found_files import FoundFile
from cleaner.dataset.images import identify
from cleaner.dataset.inspection import Limits
from cleaner.dataset.locations import is_remote
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.scoring.image_quality import compute_aspect
from cleaner.stages.check.copies import FoundCopies, find_copies
from cleaner.stages.check.known import KnownSet
from cleaner.stages.inputs import inspect_with_engine
from cleaner.stages.scan_rows import facts_frame, plain_rows
from cleaner.stages.scan_set import ScanSet, choose_files

PROBLEMS = (
    "unreadable",
    "unknown_class",
    "dropped_class",
    "exact_copy",
    "near_copy",
    "label_conflict",
    "noise",
    "wrong_label",
    "dropped_by_person",
)
"""What can be wrong with a new image, in the order in which it is named."""


@dataclass(frozen=True)
class CheckResult:
    """What was found among new images."""

    findings: pd.DataFrame
    """One row for each new file, by file_name; `problems` holds names of PROBLEMS with commas between."""
    num_seen: int
    """Files that the run knows already, under the same name: they were not judged."""
    warnings: list[str] = field(default_factory=list)

    @property
    def num_checked(self) -> int:
        """New files."""
        return len(self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many new files have each problem."""
        found = Counter(name for text in self.findings["problems"] for name in text.split(",") if name)
        return {name: found[name] for name in PROBLEMS if found[name]}

    def count_bad(self, ignored: tuple[str, ...] = ()) -> int:
        """How many new files have a problem that is not `ignored`."""
        return sum(bool(set(filter(None, text.split(","))) - set(ignored)) for text in self.findings["problems"])


def run_check(
    known: Workspace, images_root: Path, settings: ScanSettings, options: RunOptions, *, adds_to_known: bool = False
) -> CheckResult:
    """Judge the images below `images_root` by the models and decisions of the workspace `known`, which is not changed.

    Where the images root is that of the run, or it `adds_to_known`, files that the run knows under the same name and
    with the same bytes are passed over. Raises StaleStageError if no stage has run in `known`, BadInputError for
    images that cannot be listed or a network that is not the run's.
    """
    old = KnownSet.open(known)
    root = images_root if is_remote(images_root) else images_root.resolve()
    found = list_files(root, settings.follow_symlinks)
    if not found:
        raise BadInputError(f"{images_root}: holds no files", next_step="check the path")
    limits = Limits(settings.max_pixels, settings.file_timeout)
    chosen = choose_files(root, found, settings, adds=True)
    new = _without_seen(chosen, old.seen(set(found.names()), old.images_root if adds_to_known else root), limits)
    with tempfile.TemporaryDirectory(prefix="cleaner-check-") as folder:
        scratch = Workspace(Path(folder))
        facts = inspect_with_engine(scratch, new.files, "check", "scan", limits, options)
        copies = find_copies(old, new.files, facts, settings.near_radius, scratch, options)
        rows = plain_rows(facts_frame(new, facts))
        rows["clean_label"] = rows["label"].replace(old.merged)
        rows["aspect"] = compute_aspect(rows["width"].to_numpy(np.float64), rows["height"].to_numpy(np.float64))
        findings, warnings = _judge(old, root, rows, copies, scratch, options)
    return CheckResult(
        findings.sort_values("file_name", ignore_index=True),
        len(chosen.files) - len(new.files),
        [*chosen.warnings, *copies.warnings, *warnings],
    )


def _without_seen(chosen: ScanSet, seen: dict[str, tuple[int, str]], limits: Limits) -> ScanSet:
    """The files that are new."""

    def is_seen(file: FoundFile) -> bool:
        size, image_id = seen.get(file.name, (-1, ""))
        same_size = file.size in (size, 0)  # 0: not known before it is read
        return same_size and bool(image_id) and identify(file.path, limits.max_pixels).image_id == image_id

    new = [place for place, file in enumerate(chosen.files) if file.fault or not is_seen(file)]
    return chosen.take(np.array(new, dtype=np.int64))


def _judge(
    old: KnownSet, root: Path, rows: pd.DataFrame, copies: FoundCopies, scratch: Workspace, options: RunOptions
) -> tuple[pd.DataFrame, list[str]]:
    """The findings, and warnings."""
    from cleaner.stages.check.judges import Judgement, Models  # loads torch

    readable = np.flatnonzero(rows["readable"])
    is_known = copies.known_row >= 0
    fold = np.full(len(rows), -1, np.int64)
    if "fold" in old.rows:
        fold[is_known] = old.rows["fold"].to_numpy()[copies.known_row[is_known]]
    sound = rows.iloc[readable].reset_index(drop=True)
    said = Models(old, root, sound, scratch, options).judge(fold[readable])
    found = Judgement.none(len(rows))
    found.put(readable, said)
    record = old.record("noise")
    is_noise = found.noise_prob > (float(record.settings["threshold"]) if record is not None else 1.0)
    _take_over_noise(old, copies, found.noise_prob, is_noise)
    copy_of = np.full(len(rows), "", object)
    copy_of[is_known] = old.rows["file_name"].to_numpy()[copies.known_row[is_known]]
    within = copies.new_row >= 0
    copy_of[within] = rows["file_name"].to_numpy()[copies.new_row[within]]
    decided = [_is_decided(old.verdict(image_id)) for image_id in rows["image_id"]]
    findings = pd.DataFrame(
        {
            "file_name": rows["file_name"],
            "label": rows["label"],
            "problems": pd.Series(_name_problems(old, rows, copies, is_noise, found.flagged), dtype=object),
            "fault": rows["fault"],
            "copy": copies.kind,
            "copy_of": copy_of,
            "copy_is_known": is_known,
            "noise_prob": found.noise_prob,
            "label_issue_prob": found.issue_prob,
            "suggested_label": found.suggested,
            "suggested_prob": found.suggested_prob,
            "by_person": np.array(decided, dtype=bool),
            "image_id": rows["image_id"],
        }
    )
    return findings, said.warnings


def _is_decided(event: Event | None) -> bool:
    return event is not None and event.verdict != "unsure"


def _name_problems(
    old: KnownSet, rows: pd.DataFrame, copies: FoundCopies, is_noise: np.ndarray, flagged: np.ndarray
) -> list[str]:
    """Of each row its problems, with commas between; what people said beats the models."""
    labels, known_labels = rows["clean_label"].tolist(), old.rows["clean_label"].to_numpy()
    named = []
    for place, (image_id, label, fault) in enumerate(zip(rows["image_id"], labels, rows["fault"], strict=True)):
        event, kind = old.verdict(image_id), copies.kind[place]
        verdict = event.verdict if event is not None else ""
        right = old.merged.get(event.label, event.label) if event is not None and verdict == "label" else ""
        other = label
        if copies.new_row[place] >= 0:
            other = labels[copies.new_row[place]]
        elif kind == "exact":
            other = known_labels[copies.known_row[place]]
        noise = verdict == "noise" or (bool(is_noise[place]) and verdict not in ("normal", "label"))
        has = {
            "unreadable": bool(fault),
            "unknown_class": not fault and label not in old.classes,
            "dropped_class": label in old.dropped_classes,
            "exact_copy": kind == "exact",
            "near_copy": kind == "near",
            "label_conflict": other != label,
            "noise": noise,
            "wrong_label": right != label if right else bool(flagged[place]) and not noise,
            "dropped_by_person": verdict == "drop",
        }
        named.append(",".join(name for name in PROBLEMS if has[name]))
    return named


def _take_over_noise(old: KnownSet, copies: FoundCopies, noise_prob: np.ndarray, is_noise: np.ndarray) -> None:
    """An exact copy of a known image has that one's noise columns, in place."""
    if "is_noise" not in old.rows:
        return
    exact = np.flatnonzero((copies.kind == "exact") & (copies.known_row >= 0))
    twins = copies.known_row[exact]
    judged = ~np.isnan(old.rows["noise_prob"].to_numpy()[twins])
    noise_prob[exact[judged]] = old.rows["noise_prob"].to_numpy()[twins[judged]]
    is_noise[exact[judged]] = old.rows["is_noise"].to_numpy()[twins[judged]]
