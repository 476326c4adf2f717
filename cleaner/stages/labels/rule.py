"""Which label issues are dropped: two rules, each from arrays to an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleaner.config import LabelsSettings
from cleaner.scoring.expected_precision import choose_drops
from cleaner.scoring.label_quality import find_spared_classes
from cleaner.scoring.out_of_fold import UNDECIDED
from cleaner.stages.labels.issue_estimate import IssueEstimate
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.passes import Pass, issue_kind


@dataclass(frozen=True)
class Choice:
    """What becomes of label issues: `--rule`, `--drop` and `--relabel-above` as one."""

    needs_estimate: bool
    """Whether the issue probabilities are estimated (rule auto)."""
    kinds: tuple[str, ...] | None
    """The kinds of label issue that are dropped; None: those that the estimate flags."""
    relabel_above: float | None
    """What would be dropped gets its suggested label and stays if that is at least this probable; None: never."""

    @classmethod
    def of(cls, settings: LabelsSettings, top_ks: Sequence[int]) -> Choice:
        """The choice that settings make when passes with these `top_ks` run."""
        needs_estimate = settings.rule == "auto"
        kinds = settings.drop
        if kinds is None and not needs_estimate:
            kinds = ("coarse",) if any(issue_kind(k) == "coarse" for k in top_ks) else ("fine",)
        relabel_above = settings.relabel_above if settings.relabel_above < 1 else None
        return cls(needs_estimate, kinds, relabel_above)


@dataclass(frozen=True)
class Outcome:
    """What a rule decides about n labels of K classes."""

    drops: np.ndarray
    """(n,) bool: to be dropped."""
    kinds: np.ndarray
    """(n,) object: the kind of label issue: '', coarse or fine."""
    spared: np.ndarray
    """(K,) bool: classes from which nothing is dropped, though something looks wrong: it is too uncertain there."""
    reduced: np.ndarray
    """(K,) bool: classes from which less is dropped than looks wrong, for the same reason."""
    precision: float
    """Share of what looks wrong that is expected to be wrong; NaN where there is no probability, or nothing."""


def decide(choice: Choice, labels: LabelSet, passes: list[Pass], estimate: IssueEstimate | None) -> Outcome:
    """The outcome of the rule that was chosen; `estimate`: where the choice needs one."""
    if choice.kinds is not None:
        return drop_kinds(labels, passes, choice.kinds)
    assert estimate is not None
    return drop_flagged(labels, passes, estimate)


def drop_kinds(labels: LabelSet, passes: list[Pass], kinds: tuple[str, ...]) -> Outcome:
    """Drop the label issues of these kinds; a class is spared if any pass leaves too few of its images positive."""
    found = _kinds(labels, passes)
    spared = np.zeros(labels.num_classes, bool)
    for this in passes:
        spared |= find_spared_classes(labels.targets[this.rows], ~this.negative, labels.num_classes)
    drops = np.isin(found, kinds) & ~spared[labels.targets]
    return Outcome(drops, found, spared, np.zeros_like(spared), float("nan"))


def drop_flagged(labels: LabelSet, passes: list[Pass], estimate: IssueEstimate) -> Outcome:
    """Drop what the estimate flags, as far as it can be expected to be wrong (scoring/expected_precision.py).

    A flagged label that both passes let through is a fine label issue.
    """
    found = _kinds(labels, passes)
    flagged = estimate.flagged & (labels.decided == UNDECIDED)
    found[flagged & (found == "")] = "fine"
    trusted = choose_drops(estimate.issue_prob, flagged, labels.targets, labels.num_classes)
    return Outcome(trusted.drops, found, trusted.untouched, trusted.reduced, trusted.precision)


def _kinds(labels: LabelSet, passes: list[Pass]) -> np.ndarray:
    """The kind of label issue (n,) object of what each pass left negative, without people's decisions."""
    found = np.full(len(labels.targets), "", object)
    for this in passes:
        found[this.rows[this.negative & (labels.decided[this.rows] == UNDECIDED)]] = this.kind
    return found
