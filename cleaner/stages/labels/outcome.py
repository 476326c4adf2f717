"""What the label passes and the rule mean for each row: its columns, who is dropped, which copy stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import LabelsSettings
from cleaner.dataset.manifest import drop_rows, with_stage_columns
from cleaner.scoring.groups import exact_groups
from cleaner.scoring.label_quality import SHARE_BY_PROBABILITY, find_conflict_losers, find_spared_classes
from cleaner.stages.labels.passes import LabelSet, Pass
from cleaner.stages.labels.rule import Doubts


@dataclass(frozen=True)
class Judged:
    """The rows that are judged, and what the passes said of them."""

    rows: pd.DataFrame
    """n rows of the manifest."""
    classes: list[str]
    labels: LabelSet
    passes: list[Pass]
    skipped: list[int]
    """Values of top_k that are half the classes or more."""
    doubts: Doubts | None
    """What the rule auto says; None under the rule recipe."""


def decide(
    manifest: pd.DataFrame, judged: Judged, verdicts: pd.DataFrame, settings: LabelsSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The stage's columns for all rows, and who is dropped."""
    values, spared = _columns(judged)
    full = with_stage_columns(manifest, "labels")
    mine = manifest["file_name"].isin(judged.rows["file_name"]).to_numpy()
    for name, column in values.items():
        full.loc[mine, name] = column
    _obey(full, mine, verdicts)
    reasons, spared = _drop_reasons(full, mine, judged, spared, settings)
    relabelled = (reasons != "") & (full["suggested_prob"].to_numpy() >= settings.relabel_above)
    relabelled &= settings.relabel_above < 1
    full.loc[relabelled, "clean_label"] = full.loc[relabelled, "suggested_label"]
    num_conflicts = _settle_conflicts(full, mine)
    for reason in sorted(set(reasons) - {""}):
        drop_rows(full, (reasons == reason) & ~relabelled, "labels", reason)
    kept_issue = full["keep"] & (full["label_issue"] != "") & ~relabelled
    counts = {
        "classes": len(judged.classes),
        "label_issues": {k: int((full["label_issue"] == k).sum()) for k in ("coarse", "fine")},
        "for_people": int(kept_issue.sum()),
        "relabelled": int(relabelled.sum()),
        "conflicts": num_conflicts,
        "not_scored": int((mine & (full["given_rank"] < 0)).sum()),
        "classes_not_cut": sorted(spared),
    }
    return full, counts


def _drop_reasons(
    full: pd.DataFrame, mine: np.ndarray, judged: Judged, spared: set[str], settings: LabelsSettings
) -> tuple[np.ndarray, set[str]]:
    """Why each row (N,) is to be dropped, '' where it is not, and the classes that are not cut.

    The rule auto drops what it flags; the rule recipe, and whoever names kinds with --drop, the label issues of
    those kinds. What auto flags although both passes let it through becomes a fine label issue.
    """
    issue = full["label_issue"].to_numpy(dtype=object)
    drops = np.zeros(len(full), bool)
    if judged.doubts is not None and settings.drop is None:
        flagged = judged.doubts.flagged & (judged.labels.decided == -1)
        drops[mine] = flagged
        only_here = drops & (issue == "")
        full.loc[only_here, "label_issue"] = "fine"
        full.loc[only_here, "pulled_back_round"] = -1
        names = np.array(judged.classes, dtype=object)
        targets = judged.labels.targets
        emptied = find_spared_classes(targets, ~flagged, judged.labels.num_classes, SHARE_BY_PROBABILITY)
        spared = set(names[emptied])
    else:
        drops = mine & np.isin(issue, _dropped_kinds(judged, settings))
    drops &= ~full["clean_label"].isin(spared).to_numpy()
    return np.where(drops, "label_issue_" + full["label_issue"].to_numpy(dtype=object), ""), spared


def _columns(judged: Judged) -> tuple[dict[str, np.ndarray], set[str]]:
    """The stage's columns over the judged rows, by name, and the names of classes that are not cut."""
    names = np.array(judged.classes, dtype=object)
    blank = with_stage_columns(judged.rows[["file_name"]], "labels")
    out = {name: blank[name].to_numpy(copy=True) for name in blank.columns if name != "file_name"}
    spared: set[str] = set()
    for this in judged.passes:
        zero, rows = this.rounds[0].judgement, this.rows
        out["given_rank"][rows] = zero.given_rank
        out["self_confidence"][rows] = zero.self_confidence
        out["predicted_label"][rows] = names[zero.predicted]
        out["predicted_confidence"][rows] = zero.predicted_confidence
        out["pulled_back_round"][rows] = this.pulled_back_round[rows]
        negative = ~this.positive[rows] & ~this.unscored[rows]
        out["label_issue"][rows[negative & (judged.labels.decided[rows] == -1)]] = this.name
        targets = judged.labels.targets[rows]
        spared |= set(names[find_spared_classes(targets, ~negative, judged.labels.num_classes)])
    out["suggested_label"], out["suggested_prob"] = out["predicted_label"].copy(), out["predicted_confidence"].copy()
    doubts = judged.doubts
    if doubts is not None:
        out["label_issue_prob"] = doubts.issue_prob
        found = doubts.noise.suggested >= 0
        out["suggested_label"] = np.where(found, names[doubts.noise.suggested], "")
        out["suggested_prob"] = doubts.noise.suggested_prob
    if judged.passes or doubts is not None:
        out["fold"] = judged.labels.fold.astype(np.int8)
        out["label_evidence"][:] = "model"
    return out, spared


def _obey(full: pd.DataFrame, mine: np.ndarray, verdicts: pd.DataFrame) -> None:
    """People's verdicts on judged rows, in place."""
    said = full["image_id"].map(verdicts["verdict"])
    label = mine & (said == "label").to_numpy()
    out = mine & said.isin(["noise", "drop"]).to_numpy()
    full.loc[label, "clean_label"] = full.loc[label, "image_id"].map(verdicts["label"])
    full.loc[label | out, "label_evidence"] = "person"
    full.loc[label | out, "label_issue"] = ""
    drop_rows(full, out, "labels", "person")


def _settle_conflicts(full: pd.DataFrame, mine: np.ndarray) -> int:
    """Of exact copies in one split, the one with the best claim stays; the others are dropped, in place."""
    splits = pd.factorize(full["split"])[0]
    groups = exact_groups(full) * (splits.max(initial=0) + 1) + splits
    contested = mine & full["keep"].to_numpy()
    sizes = np.bincount(groups[contested], minlength=groups.max(initial=0) + 1)
    contested &= sizes[groups] > 1
    rank = full["given_rank"].to_numpy().astype(np.int64)
    rank = np.where(rank < 0, np.iinfo(np.int32).max, rank)
    # a person's label first, then positives, then the better rank, then the more confident, then the first by name
    person = (full["label_evidence"] == "person").to_numpy()
    as_given = person & (full["label"] == full["clean_label"]).to_numpy()
    issue = (full["label_issue"] != "").to_numpy()
    confidence = -np.nan_to_num(full["self_confidence"].to_numpy().astype(np.float64))
    order = np.lexsort((np.arange(len(full)), confidence, rank, issue, ~person, ~as_given))
    losers = find_conflict_losers(groups, contested, order)
    drop_rows(full, losers, "labels", "label_conflict")
    return int(losers.sum())


def _dropped_kinds(judged: Judged, settings: LabelsSettings) -> tuple[str, ...]:
    if settings.drop is not None:
        return settings.drop
    return ("coarse",) if any(p.name == "coarse" for p in judged.passes) else ("fine",)
