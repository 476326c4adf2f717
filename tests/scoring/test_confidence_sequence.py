"""The bound on bad rows holds at all times at once, whatever else becomes known between the draws."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.confidence_sequence import ConfidenceSequence


def test_without_draws_any_row_may_be_bad() -> None:
    assert ConfidenceSequence(40).upper == 40
    assert ConfidenceSequence(0).upper == 0


@pytest.mark.parametrize("num_bad", [0, 1, 7, 40])
def test_it_is_exact_once_all_is_known(num_bad: int) -> None:
    sequence = ConfidenceSequence(40)
    for row in np.random.default_rng(0).permutation(40):
        sequence.draw(bool(row < num_bad))
    assert (sequence.upper, sequence.upper_left) == (num_bad, 0)


def test_rows_known_otherwise_bound_it_too() -> None:
    sequence = ConfidenceSequence(40)
    sequence.reveal(30, 2)
    assert (sequence.upper, sequence.upper_left) == (12, 10)


@pytest.mark.parametrize(("size", "num_bad"), [(60, 20), (400, 0), (400, 1), (400, 28), (2000, 150)])
def test_it_holds_at_all_times_in_95_of_100_runs(size: int, num_bad: int) -> None:
    rng = np.random.default_rng(1)
    runs, held = 200, 0
    for _ in range(runs):
        sequence = ConfidenceSequence(size)
        is_bad = rng.permutation(size) < num_bad
        highest = True
        for value in is_bad[:200]:
            sequence.draw(bool(value))
            highest &= sequence.upper >= num_bad
        held += highest
    assert held / runs >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / runs)  # sampling error of the simulation


def test_it_holds_when_bad_rows_are_picked_out_between_the_draws() -> None:
    rng = np.random.default_rng(2)
    runs, held, last = 150, 0, []
    for _ in range(runs):
        sequence, left = ConfidenceSequence(1000), np.arange(1000) < 70
        holds = True
        for _ in range(40):  # a page: ten at random, then mostly bad ones
            drawn = rng.choice(len(left), 10, replace=False)
            for value in left[drawn]:
                sequence.draw(bool(value))
            left = np.delete(left, drawn)
            picked = np.concatenate([np.flatnonzero(left)[:4], np.flatnonzero(~left)[:2]])
            sequence.reveal(len(picked), int(left[picked].sum()))
            left = np.delete(left, picked)
            holds &= sequence.upper_left >= left.sum()
        held += holds
        last.append(sequence.upper_left / len(left))
    assert held / runs >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / runs)
    assert np.mean(last) < 0.04  # of the later draws hardly one is bad; of all draws, one in fifty


def test_one_bad_draw_raises_what_a_good_one_lowers() -> None:
    good, mixed = ConfidenceSequence(500), ConfidenceSequence(500)
    uppers = []
    for number in range(100):
        good.draw(False)
        mixed.draw(number % 10 == 0)
        uppers.append(good.upper)
    assert uppers == sorted(uppers, reverse=True)
    assert uppers[-1] < 0.06 * 500 < mixed.upper
