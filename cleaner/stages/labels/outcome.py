"""What the label passes and the rule mean for each row: its columns, whether it is dropped, which copy stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cleaner.dataset.manifest import drop_rows, with_stage_columns
from cleaner.scoring.label_quality import find_conflict_losers
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold
from cleaner.stages.labels.issue_estimate import IssueEstimate
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.passes import Pass
from cleaner.stages.labels.rule import Choice, Outcome, decide


@dataclass(frozen=True)
class Evidence:
    """Which rows are the stage's, and the results of the passes and of the issue estimate."""

    mine: np.ndarray
    """(N,) bool: which n rows of the manifest the stage judges."""
    copies: np.ndarray
    """(N,) int64: equal for exact copies among all rows of the manifest (scoring/groups.py)."""
    classes: list[str]
    labels: LabelSet
    passes: list[Pass]
    skipped: list[int]
    """Values of top_k that are half the classes or more."""
    estimate: IssueEstimate | None
    """None under the rule recipe."""

    @property
    def names(self) -> np.ndarray:
        """(K,) object: the classes, to be indexed by class numbers."""
        return np.array(self.classes, dtype=object)

    @property
    def zero(self) -> OutOfFold | None:
        """From the cross-training on the labels as given; None if every pass was skipped."""
        if self.estimate is not None:
            return self.estimate.zero
        return self.passes[0].rounds[0].predictions if self.passes else None


def apply_outcome(manifest: pd.DataFrame, evidence: Evidence, choice: Choice) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A copy of the manifest with the stage's columns and drops, and the counts of the stage's record."""
    outcome = decide(choice, evidence.labels, evidence.passes, evidence.estimate)
    full = with_stage_columns(manifest, "labels")
    mine = evidence.mine
    for name, column in _columns(evidence, outcome):
        full.loc[mine, name] = column
    _apply_verdicts(full, evidence)
    drops = np.zeros(len(full), bool)
    drops[mine] = outcome.drops
    relabelled = np.zeros(len(full), bool)
    if choice.relabel_above is not None:
        relabelled = drops & (full["suggested_prob"].to_numpy() >= choice.relabel_above)
    full.loc[relabelled, "clean_label"] = full.loc[relabelled, "suggested_label"]
    num_conflicts = _resolve_conflicts(full, mine, evidence.copies)
    for kind in ("coarse", "fine"):
        drop_rows(full, drops & ~relabelled & (full["label_issue"] == kind), "labels", f"label_issue_{kind}")
    kept_issue = full["keep"] & (full["label_issue"] != "") & ~relabelled
    counts = {
        "classes": len(evidence.classes),
        "label_issues": {k: int((full["label_issue"] == k).sum()) for k in ("coarse", "fine")},
        "for_people": int(kept_issue.sum()),
        "relabelled": int(relabelled.sum()),
        "conflicts": num_conflicts,
        "not_scored": int((mine & (full["given_rank"] < 0)).sum()),
        "classes_not_cut": sorted(evidence.names[outcome.spared]),
        "classes_cut_in_part": sorted(evidence.names[outcome.reduced]),
    }
    if evidence.estimate is not None:
        prob = np.nan_to_num(full["label_issue_prob"].to_numpy(np.float64))
        gone = full["drop_reason"].str.startswith("label_issue").to_numpy()
        parts = {"all": mine, "dropped": gone, "for_people": kept_issue.to_numpy()}
        if not np.isnan(outcome.precision):
            counts["expected_precision"] = round(outcome.precision, 3)
        counts["expected_wrong"] = {name: round(float(prob[rows].sum()), 1) for name, rows in parts.items()}
    return full, counts


def _columns(evidence: Evidence, outcome: Outcome) -> Iterator[tuple[str, np.ndarray]]:
    """The stage's columns over the n rows, by name, one at a time."""
    estimate, num = evidence.estimate, len(evidence.labels.targets)
    names = np.append(evidence.names, "")  # '' for -1, no class
    back, best, sure = np.full(num, -1, np.int16), np.full(num, -1, np.int32), np.full(num, np.nan, np.float32)
    rank, own = np.full(num, -1, np.int32), np.full(num, np.nan, np.float32)
    for this in evidence.passes:
        zero, rows = this.rounds[0].predictions, this.rows
        rank[rows], own[rows] = zero.given_rank, zero.self_confidence
        best[rows], sure[rows] = zero.predicted, zero.predicted_confidence
        back[rows] = this.pulled_back_round[rows]
    back[outcome.kinds != ""] = -1
    yield "given_rank", rank
    yield "self_confidence", own
    yield "predicted_label", names[best]
    yield "predicted_confidence", sure
    yield "pulled_back_round", back
    yield "label_issue", outcome.kinds
    if estimate is not None:
        yield "label_issue_prob", estimate.issue_prob
    yield "suggested_label", names[best if estimate is None else estimate.noise.suggested]
    yield "suggested_prob", sure if estimate is None else estimate.noise.suggested_prob
    if evidence.passes or estimate is not None:
        yield "fold", evidence.labels.fold.astype(np.int8)
        yield "label_evidence", np.full(num, "model", object)


def _apply_verdicts(full: pd.DataFrame, evidence: Evidence) -> None:
    """People's verdicts on the stage's rows, in place."""
    decided = np.full(len(full), UNDECIDED)
    decided[evidence.mine] = evidence.labels.decided
    label, out = decided >= 0, decided == NO_CLASS
    full.loc[label, "clean_label"] = evidence.names[decided[label]]
    full.loc[label | out, "label_evidence"] = "person"
    drop_rows(full, out, "labels", "person")


def _resolve_conflicts(full: pd.DataFrame, mine: np.ndarray, copies: np.ndarray) -> int:
    """Keep the exact copy with the best claim of each split, drop the others in place; returns how many."""
    splits = pd.factorize(full["split"])[0]
    groups = copies * (splits.max(initial=0) + 1) + splits
    contested = mine & full["keep"].to_numpy()
    sizes = np.bincount(groups[contested], minlength=groups.max(initial=0) + 1)
    rows = np.flatnonzero(contested & (sizes[groups] > 1))
    some = full.iloc[rows]
    rank = some["given_rank"].to_numpy().astype(np.int64)
    rank = np.where(rank < 0, np.iinfo(np.int32).max, rank)
    # a person's label first, then positives, then the better rank, then the higher confidence, then the first by name
    person = (some["label_evidence"] == "person").to_numpy()
    as_given = person & (some["label"] == some["clean_label"]).to_numpy()
    issue = (some["label_issue"] != "").to_numpy()
    confidence = -np.nan_to_num(some["self_confidence"].to_numpy().astype(np.float64))
    order = np.lexsort((rows, confidence, rank, issue, ~person, ~as_given))
    losers = np.zeros(len(full), bool)
    losers[rows] = find_conflict_losers(groups[rows], np.ones(len(rows), bool), order)
    drop_rows(full, losers, "labels", "label_conflict")
    return int(losers.sum())
