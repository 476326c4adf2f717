"""The audit's formulae: known values, and coverage by simulation and by exact summation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from cleaner.scoring.audit import (
    Stratum,
    clopper_pearson,
    count_more_looks,
    draw_rows,
    estimate_total,
    plan_looks,
    upper_bound,
    watch_answers,
)

NUM_DRAWS = 2000
RATES = (0.001, 0.01, 0.1)


def test_nothing_in_three_hundred_leaves_less_than_one_percent() -> None:
    assert round(upper_bound(0, 300), 4) == 0.0099
    assert upper_bound(0, 298) > 0.01 > upper_bound(0, 299)


@pytest.mark.parametrize(
    ("num_bad", "num_looks", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (4, 300, 0.0036, 0.0338),
    ],
)
def test_intervals_are_those_of_the_tables(num_bad: int, num_looks: int, low: float, high: float) -> None:
    assert clopper_pearson(num_bad, num_looks) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("num_looks", [50, 300])
def test_exact_coverage_is_at_least_95_percent(rate: float, num_looks: int) -> None:
    """Summed over everything that can be found, with its probability: no luck of a draw in it."""
    found = np.arange(num_looks + 1)
    likely = binom.pmf(found, num_looks, rate)
    ends = np.array([clopper_pearson(int(k), num_looks) for k in found])
    bounds = np.array([upper_bound(int(k), num_looks) for k in found])
    assert likely[(ends[:, 0] <= rate) & (rate <= ends[:, 1])].sum() >= 0.95
    assert likely[rate <= bounds].sum() >= 0.95


@pytest.mark.parametrize("rate", RATES)
def test_simulated_coverage_of_one_stratum_is_at_least_95_percent(rate: float) -> None:
    """2,000 audits of 300 images of a set of 20,000, drawn as the command draws them."""
    size, num_looks = 20_000, 300
    bad = np.zeros(size, bool)
    bad[: round(rate * size)] = True
    found = np.array([bad[draw_rows(size, num_looks, seed=seed, stream=0)].sum() for seed in range(NUM_DRAWS)])
    of = {int(k): estimate_total([Stratum(size, num_looks, int(k))]) for k in np.unique(found)}
    assert np.mean([of[int(k)].low <= rate <= of[int(k)].high for k in found]) >= 0.95
    assert np.mean([rate <= of[int(k)].upper for k in found]) >= 0.95


@pytest.mark.parametrize("rate", RATES)
def test_simulated_coverage_of_weighted_totals_is_at_least_95_percent(rate: float) -> None:
    """2,000 audits of 50 images of each of four reasons of different sizes and rates, which average to `rate`."""
    sizes = np.array([4000, 1500, 300, 40])  # of the last one all are looked at
    bad = np.array([round(rate * n * f) for n, f in zip(sizes, (0.5, 2.0, 2.0, 2.0), strict=True)])
    truth = bad.sum() / sizes.sum()
    rng = np.random.default_rng(7)
    looks = np.minimum(sizes, 50)
    found = np.stack([rng.hypergeometric(b, n - b, k, NUM_DRAWS) for b, n, k in zip(bad, sizes, looks, strict=True)], 1)
    distinct, draws = np.unique(found, axis=0, return_counts=True)
    covered = bounded = 0
    for row, num in zip(distinct, draws, strict=True):
        total = estimate_total([Stratum(*map(int, t)) for t in zip(sizes, looks, row, strict=True)])
        covered += num * (total.low <= truth <= total.high)
        bounded += num * (truth <= total.upper)
    assert covered / NUM_DRAWS >= 0.95
    assert bounded / NUM_DRAWS >= 0.95


def test_a_single_stratum_is_the_plain_interval_and_bonferroni_widens_several() -> None:
    low, high = clopper_pearson(3, 200)
    one = estimate_total([Stratum(5000, 200, 3)])
    assert (one.share, one.low, one.high, one.upper) == (0.015, low, high, upper_bound(3, 200))
    two = estimate_total([Stratum(2500, 200, 3), Stratum(2500, 200, 3)])
    assert two.share == pytest.approx(0.015)
    assert two.low < low
    assert two.high > high


def test_what_was_looked_at_in_full_is_exact_and_dilutes_by_its_weight() -> None:
    assert estimate_total([Stratum(40, 40, 2)]).high == 0.05
    mixed = estimate_total([Stratum(900, 300, 0), Stratum(100, 100, 10)])
    assert mixed.low == pytest.approx(0.01)
    assert mixed.upper == pytest.approx(0.9 * upper_bound(0, 300) + 0.01)


def test_what_nobody_looked_at_may_be_anything() -> None:
    blind = estimate_total([Stratum(10, 0, 0)])
    assert (blind.share, blind.low, blind.high, blind.upper) == (None, 0.0, 1.0, 1.0)
    assert estimate_total([]).share is None


@given(st.integers(1, 4000), st.sampled_from([0.002, 0.01, 0.05, 0.3]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=20, deadline=None)
def test_planned_looks_reach_the_goal_and_one_less_does_not(size: int, goal: float, part: float) -> None:
    num = plan_looks(size, goal, part * goal)
    finds = [round(i * part * goal) > round((i - 1) * part * goal) for i in range(1, num + 1)]
    assert watch_answers(0, 0, size, finds).upper <= goal * size
    assert num == 0 or watch_answers(0, 0, size, finds[:-1]).upper > goal * size


def test_more_looks_reach_the_goal_from_where_one_stands() -> None:
    sequence = watch_answers(100, 1, 4000, [False] * 150 + [True])
    more = count_more_looks(sequence, 4100, 0.01)
    assert more and count_more_looks(sequence, 4100, 0.01) == more  # asking changes nothing
    assert watch_answers(100, 1, 4000, [False] * 150 + [True] + [False] * more).upper <= 41
    assert watch_answers(100, 1, 4000, [False] * 150 + [True] + [False] * (more - 1)).upper > 41
    assert count_more_looks(watch_answers(100, 42, 4000, []), 4100, 0.01) is None


def test_whoever_looks_on_passes_a_set_over_the_goal_in_one_of_twenty_at_most() -> None:
    """Asking after every look, which no advice to look on can exceed; benchmarks/audit_coverage.py has more rates."""
    size, goal, runs, passed = 1000, 0.05, 100, 0
    bad = np.arange(size) < size * goal + 1
    for run in range(runs):
        sequence = watch_answers(0, 0, size, ())
        for is_bad in bad[draw_rows(size, 500, seed=run, stream=0)]:
            sequence.draw(bool(is_bad))
        passed += sequence.upper <= size * goal
    assert passed / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)  # sampling error of the simulation


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    small, large = (draw_rows(1000, n, seed=3, stream=1) for n in (50, 400))
    np.testing.assert_array_equal(large[:50], small)
    assert len(set(large)) == 400
    assert len(draw_rows(20, 50, seed=0, stream=0)) == 20
