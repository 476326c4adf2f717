"""The verdict's statistics on simulated truth: what the interval covers, and how often a verdict is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.verification import compare_by_class, compare_models, mean_accuracy, spread_over_slots
from tests.support.places import REPO
from tests.support.program import load_script

trials = load_script(REPO / "benchmarks" / "verify_coverage.py")
compare, draw_pair = trials.compare, trials.draw_pair
NUM_TRIALS = 50
"""The benchmark does 200."""
LOWEST = 0.95 - trials.slack(NUM_TRIALS)


@pytest.mark.parametrize("name", trials.CASES)
def test_the_interval_holds_the_truth_and_no_difference_is_seldom_called_one(name: str) -> None:
    case = trials.CASES[name]
    covered, named = trials.try_case(case, NUM_TRIALS)
    assert covered >= LOWEST
    if case.effect == 0:
        assert named <= 1 - LOWEST


def test_weighted_intervals_hold_the_truth_too() -> None:
    assert trials.try_weighted(NUM_TRIALS) >= LOWEST


def test_a_true_difference_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(2)
    for effect, verdict in ((0.1, "helped"), (-0.1, "hurt")):
        before, after = draw_pair(rng, trials.Case(2000, 5, effect, 0.1, 0.01))
        result = compare(before, after)
        assert result.verdict == verdict and result.p_value < 1e-3
        assert result.mean == pytest.approx(after.mean() - before.mean())
        assert result.low < result.mean < result.high


def test_equal_models_differ_by_nothing() -> None:
    right = np.random.default_rng(0).random((3, 80)) < 0.7
    result = compare(right, right)
    assert result.mean == 0 and result.verdict == "cannot_tell" and result.low < 0 < result.high


def test_the_same_seed_gives_the_same_interval() -> None:
    pair = draw_pair(np.random.default_rng(0), trials.Case(100, 3, 0.1, 0.1, 0.01))
    assert compare(*pair, seed=4) == compare(*pair, seed=4) != compare(*pair, seed=5)


def test_strata_count_by_what_they_stand_for() -> None:
    rng = np.random.default_rng(3)
    # 900 kept images of which 90 were looked at: no difference; 100 dropped, 50 looked at, 20 of them noise: all worse
    strata = np.repeat([0, 1], [90, 50])
    weights = np.concatenate([np.full(90, 10.0), np.full(30, 2.0), np.zeros(20)])
    before = np.concatenate([rng.random(90) < 0.8, np.ones(30), np.zeros(20)]).astype(bool)
    after = before.copy()
    after[90:] = False
    before, after = np.tile(before, (3, 1)), np.tile(after, (3, 1))
    result = compare_models(before, after, weights=weights, strata=strata, seed=0)
    assert result.mean == pytest.approx(-60 / 960)
    assert result.verdict == "hurt"
    alone = compare_models(before[:, :120], after[:, :120], weights=weights[:120], strata=strata[:120], seed=0)
    assert alone.mean == pytest.approx(result.mean)
    # how large a share of the dropped ones is good is known from 50 looks only
    assert result.high - result.low > alone.high - alone.low


def test_classes_that_were_hurt_are_named_and_hardly_any_other() -> None:
    found, wrong = trials.try_classes(4)
    assert found >= trials.MIN_FOUND
    assert wrong <= trials.MAX_WRONG


def test_three_images_that_agree_are_no_certainty_and_a_class_without_any_has_no_verdict() -> None:
    targets = np.array([0] * 3 + [1] * 60)
    before, after = np.ones((5, 63), bool), np.ones((5, 63), bool)
    after[:, :3] = False
    after[:, 3:33] = False
    result = compare_by_class(before, after, targets, 3, weights=np.ones(63), seed=0)
    assert result.verdicts() == ["cannot_tell", "hurt", "cannot_tell"]
    assert result.num_images.tolist() == [3, 60, 0] and np.isnan(result.p_adjusted[2]) and np.isnan(result.before[2])
    assert result.after[1] == pytest.approx(0.5)


def test_accuracy_is_weighted() -> None:
    right = np.array([[True, False, True], [False, False, True]])
    assert mean_accuracy(right, np.array([2.0, 1.0, 1.0])).tolist() == [0.75, 0.25]


@pytest.mark.parametrize(("num", "num_slots"), [(10, 10), (7, 10), (3, 100), (400, 1001)])
def test_every_row_has_a_slot_and_counts_by_its_weight(num: int, num_slots: int) -> None:
    rng = np.random.default_rng(0)
    for weights in (np.ones(num), rng.integers(1, 20, num).astype(float)):
        rows, slot_weights = spread_over_slots(weights, num_slots, rng)
        assert len(rows) == num_slots and set(rows) == set(range(num))
        assert np.bincount(rows, slot_weights) == pytest.approx(weights, rel=1e-5)
    counts = np.bincount(spread_over_slots(np.ones(num), num_slots, rng)[0])
    assert counts.max() - counts.min() <= 1


def test_heavier_rows_have_more_slots() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([1.0] * 50 + [9.0] * 50)
    counts = np.bincount(spread_over_slots(weights, 500, rng)[0])
    assert counts[:50].max() <= 2 and counts[50:].min() >= 7
