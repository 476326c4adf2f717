"""The bound on bad rows holds at all times at once, whatever else becomes known between the draws."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring import confidence_sequence
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


@pytest.mark.parametrize(("size", "num_bad"), [(400, 28), (2000, 150), (100_000, 5000), (100_000, 60_000)])
def test_it_holds_where_not_all_numbers_are_tried(size: int, num_bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence_sequence, "_EACH", 20)
    monkeypatch.setattr(confidence_sequence, "_STEP", 0.05)
    rng = np.random.default_rng(3)
    held, runs = 0, 200
    for _ in range(runs):
        sequence = ConfidenceSequence(size)
        held += all(
            sequence.draw(bool(bad)) or sequence.upper >= num_bad for bad in rng.permutation(size)[:150] < num_bad
        )
    assert held / runs >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("every", [7, 40, 1000])
def test_trying_not_all_numbers_raises_the_bound_by_a_step_at_most(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def uppers() -> np.ndarray:
        sequence = ConfidenceSequence(9000)
        sequence.reveal(500, 100)
        found = []
        for number in range(400):
            sequence.draw(number % every == every - 1)
            found.append(sequence.upper_left)
        return np.array(found)

    all_tried = uppers()
    monkeypatch.setattr(confidence_sequence, "_EACH", 30)
    monkeypatch.setattr(confidence_sequence, "_STEP", 0.01)
    some_tried = uppers()
    np.testing.assert_allclose(some_tried, all_tried, rtol=0.02)


def test_more_may_become_known_than_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidence_sequence, "_EACH", 5)
    monkeypatch.setattr(confidence_sequence, "_STEP", 1.0)
    sequence = ConfidenceSequence(1000)
    sequence.draw(False)
    sequence.reveal(995, 700)  # between 700 and 704 none was tried
    for number in range(4):
        sequence.draw(number == 1)
        assert 701 <= sequence.upper <= 704 - number + (number >= 1)
    assert (sequence.upper, sequence.num_unknown) == (701, 0)


def test_ten_million_rows_take_hardly_more_than_ten_thousand() -> None:
    sequence = ConfidenceSequence(10_000_000)
    for _ in range(300):
        sequence.draw(False)
    share, smaller = sequence.upper / 10_000_000, ConfidenceSequence(10_000)
    for _ in range(300):
        smaller.draw(False)
    assert share == pytest.approx(smaller.upper / 10_000, rel=0.03)  # of the smaller one more is known
    assert len(sequence._tried) < 20_000
