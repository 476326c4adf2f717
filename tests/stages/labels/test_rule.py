"""The two rules on arrays: what is dropped, of which kind it is, and which classes are spared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cleaner.config import LabelsSettings
from cleaner.scoring.instance_dependence import InstanceDependence
from cleaner.scoring.label_noise import LabelNoise
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold
from cleaner.stages.labels.issue_estimate import IssueEstimate
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.passes import Pass
from cleaner.stages.labels.rule import Choice, decide, drop_flagged, drop_kinds

NUM = 40
"""Class 0: rows 0-19, class 1: rows 20-39."""


def label_set(decided: dict[int, int] | None = None) -> LabelSet:
    verdicts = np.full(NUM, UNDECIDED)
    for row, verdict in (decided or {}).items():
        verdicts[row] = verdict
    rows = np.arange(NUM)
    return LabelSet(rows // 20, rows % 5, rows, np.ones(NUM, bool), verdicts, 2, "test")


def finished_pass(top_k: int, negative: list[int], rows: np.ndarray | None = None) -> Pass:
    rows = np.arange(NUM) if rows is None else rows
    positive = np.isin(np.arange(NUM), rows) & ~np.isin(np.arange(NUM), negative)
    return Pass(top_k, rows, positive, np.zeros(NUM, bool), np.where(positive, 0, -1).astype(np.int16))


def estimate_of(flagged: list[int]) -> IssueEstimate:
    is_flagged = np.isin(np.arange(NUM), flagged)
    prob = np.where(is_flagged, 0.9, 0.1).astype(np.float32)
    nothing = np.zeros(NUM, np.int64)
    noise = LabelNoise(prob, nothing, prob, np.eye(2), 1.0, InstanceDependence(0.0, 0.0, 0.0), 0.0, 1.0)
    zero = OutOfFold.empty(nothing, 2)
    return IssueEstimate(
        issue_prob=prob, flagged=is_flagged, threshold=0.5, noise=noise, num_reviewed=0, zero=zero, last=zero
    )


COARSE = finished_pass(5, [0, 1])
FINE = finished_pass(1, [2, 21], rows=np.setdiff1d(np.arange(NUM), [0, 1]))


@pytest.mark.parametrize(
    ("settings", "top_ks", "expected"),
    [
        ({}, [5, 1], Choice(True, None, None)),
        ({"drop": ("fine",)}, [5, 1], Choice(True, ("fine",), None)),
        ({"drop": (), "relabel_above": 0.9}, [5, 1], Choice(True, (), 0.9)),
        ({"rule": "recipe"}, [5, 1], Choice(False, ("coarse",), None)),
        ({"rule": "recipe"}, [1], Choice(False, ("fine",), None)),
        ({"rule": "recipe", "drop": ("coarse", "fine")}, [1], Choice(False, ("coarse", "fine"), None)),
    ],
)
def test_three_options_make_one_choice(settings: dict[str, Any], top_ks: list[int], expected: Choice) -> None:
    assert Choice.of(LabelsSettings(**settings), top_ks) == expected


def test_the_rule_recipe_drops_the_kinds_that_were_chosen() -> None:
    for kinds, rows in ((("coarse",), [0, 1]), (("fine",), [2, 21]), (("coarse", "fine"), [0, 1, 2, 21]), ((), [])):
        outcome = drop_kinds(label_set(), [COARSE, FINE], kinds)
        assert np.flatnonzero(outcome.drops).tolist() == rows
        assert np.flatnonzero(outcome.kinds == "coarse").tolist() == [0, 1]
        assert np.flatnonzero(outcome.kinds == "fine").tolist() == [2, 21]
        assert not outcome.spared.any()


def test_the_rule_auto_drops_what_is_flagged_and_names_what_the_passes_let_through_fine() -> None:
    outcome = drop_flagged(label_set(), [COARSE, FINE], estimate_of([0, 3]))
    assert np.flatnonzero(outcome.drops).tolist() == [0, 3]
    assert outcome.kinds[[0, 1, 2, 3, 4]].tolist() == ["coarse", "coarse", "fine", "fine", ""]


def test_a_class_that_would_be_all_but_emptied_is_spared_and_keeps_its_issues_for_people() -> None:
    most = list(range(18))
    by_rank = drop_kinds(label_set(), [finished_pass(1, [*most, 21])], ("fine",))
    by_probability = drop_flagged(label_set(), [], estimate_of([*most, 21]))
    for outcome in (by_rank, by_probability):
        assert outcome.spared.tolist() == [True, False]
        assert np.flatnonzero(outcome.drops).tolist() == [21]
        assert (outcome.kinds[most] == "fine").all()


def test_what_people_decided_is_no_issue_under_either_rule() -> None:
    labels = label_set({0: 0, 2: 1, 3: NO_CLASS})
    flagged = replace(estimate_of([0, 2, 3, 5]), num_reviewed=3)
    assert np.flatnonzero(drop_flagged(labels, [COARSE, FINE], flagged).drops).tolist() == [5]
    outcome = drop_kinds(labels, [COARSE, FINE], ("coarse", "fine"))
    assert np.flatnonzero(outcome.kinds != "").tolist() == np.flatnonzero(outcome.drops).tolist() == [1, 21]


def test_the_choice_picks_the_rule() -> None:
    labels, estimate = label_set(), estimate_of([7])
    assert np.flatnonzero(decide(Choice(True, None, None), labels, [COARSE], estimate).drops).tolist() == [7]
    by_kind = decide(Choice(True, ("coarse",), None), labels, [COARSE], estimate)
    assert np.flatnonzero(by_kind.drops).tolist() == [0, 1]
