"""The rounds of the noise stage, over a model whose estimates are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from cleaner.scoring.noise_model import NoiseEstimate, NoiseSeeds
from cleaner.scoring.noise_rounds import NoiseResult, run_rounds

NUM = 400
NOISE, NORMAL = [0, 1, 2, 3], [200, 201, 202, 203]


@dataclass
class Scripted:
    """Estimate n gives the rows of `above(n)` their probability and all others 0.01; it notes what it learned."""

    above: Callable[[int], dict[int, float]]
    loss: Callable[[int], float] = lambda _: 0.1
    learned: list[list[int]] = field(default_factory=list)

    def by_default(self) -> NoiseEstimate:
        return self.learn(np.zeros(NUM, bool), np.zeros(NUM, bool))

    def learn(self, positive: np.ndarray, negative: np.ndarray) -> NoiseEstimate:
        assert not (positive & negative).any()
        self.learned.append(np.flatnonzero(positive).tolist())
        probs = np.full(NUM, 0.01, np.float32)
        for row, prob in self.above(len(self.learned)).items():
            probs[row] = prob
        return NoiseEstimate(probs, 0.1, self.loss(len(self.learned)))


def run(
    model: Scripted, noise: list[int], normal: list[int], max_rounds: int = 10, countable: np.ndarray | None = None
) -> NoiseResult:
    is_seed, is_noise = np.zeros(NUM, bool), np.zeros(NUM, bool)
    is_seed[noise + normal] = True
    is_noise[noise] = True
    return run_rounds(
        model,
        NoiseSeeds(is_seed, is_noise),
        np.ones(NUM, bool) if countable is None else countable,
        threshold=0.9,
        max_rounds=max_rounds,
        rng=np.random.default_rng(0),
        on_round=lambda _: None,
    )


def test_an_added_image_leaves_again_when_its_later_score_falls() -> None:
    model = Scripted(lambda number: {50: 0.99 if number == 1 else 0.3, 51: 0.99})
    result = run(model, NOISE, NORMAL)
    first, second, *_ = result.rounds
    assert np.flatnonzero(first.found).tolist() == [50, 51] and (first.num_new, first.num_left) == (2, 0)
    assert np.flatnonzero(second.found).tolist() == [51] and (second.num_new, second.num_left) == (0, 1)
    assert model.learned == [NOISE, [*NOISE, 50, 51], [*NOISE, 51]]
    assert result.stopped == "stable" and len(result.rounds) == 3


def test_rounds_that_go_in_a_circle_end_and_so_do_too_many() -> None:
    def circle(number: int) -> dict[int, float]:
        return {50: 0.99, 51: 0.99} if number == 1 else {50 + number % 2: 0.99, 51 - number % 2: 0.1}

    result = run(Scripted(circle), NOISE, NORMAL, max_rounds=20)
    assert result.stopped == "repeats" and len(result.rounds) == 4
    # which image the rounds would end with depends on where they stop: neither was found in each round of the circle
    assert not result.rounds[-1].found.any() and (result.rounds[-1].noise_prob[50:52] <= 0.9).all()
    result = run(Scripted(circle), NOISE, NORMAL, max_rounds=2)
    assert result.stopped == "max_rounds" and len(result.rounds) == 2


def test_rounds_do_not_drift_to_what_the_seeds_speak_against() -> None:
    model = Scripted(lambda number: {50: 0.99, 60: 0.4} if number == 1 else {50: 0.99, 60: 0.99})
    result = run(model, NOISE, NORMAL)
    assert all(np.flatnonzero(r.found).tolist() == [50] for r in result.rounds)
    assert 0.5 < result.rounds[-1].noise_prob[60] <= 0.9  # doubtful: for people


def test_a_later_round_counts_as_much_as_the_first() -> None:
    result = run(Scripted(lambda number: {50: 0.99, 60: 0.6 if number == 1 else 0.999}), NOISE, NORMAL)
    assert result.rounds[-1].noise_prob[60] == pytest.approx(0.975, abs=0.001)  # the mean of both log odds
    assert np.flatnonzero(result.rounds[-1].found).tolist() == [50, 60]


def test_a_round_that_tells_the_seeds_apart_worse_is_not_taken() -> None:
    model = Scripted(lambda number: {50: 0.99} | ({51: 0.99} if number > 1 else {51: 0.7}), lambda n: 0.1 * n)
    result = run(model, NOISE, NORMAL)
    assert result.stopped == "worse" and len(result.rounds) == 1
    assert np.flatnonzero(result.rounds[-1].found).tolist() == [50]


def test_a_seed_keeps_its_kind_whatever_the_model_says() -> None:
    model = Scripted(lambda _: {200: 0.99})
    result = run(model, NOISE, NORMAL)
    assert not any(r.found.any() for r in result.rounds) and model.learned == [NOISE]


def test_without_seeds_the_first_round_is_the_default_and_its_finds_teach_the_next() -> None:
    finds = dict.fromkeys(range(50, 60), 0.99)
    model = Scripted(lambda number: finds | {70: 0.3} if number == 1 else finds | {70: 0.95, 80: 0.95})
    result = run(model, [], [])
    assert model.learned[:2] == [[], list(finds)]
    # the default weights speak against 80: it is for people
    assert np.flatnonzero(result.rounds[-1].found).tolist() == [*finds, 70]


def test_without_seeds_hardly_any_find_teaches_nothing() -> None:
    model = Scripted(lambda _: {50: 0.99, 51: 0.99})
    result = run(model, [], [])
    assert result.stopped == "stable" and len(result.rounds) == 1 and model.learned == [[]]


def test_rows_that_do_not_count_are_never_found() -> None:
    countable = np.arange(NUM) % 2 == 0
    result = run(Scripted(lambda _: {50: 0.99, 51: 0.99}), NOISE, NORMAL, countable=countable)
    assert np.flatnonzero(result.rounds[-1].found).tolist() == [50]
    assert result.rounds[-1].noise_prob[51] == pytest.approx(0.99)
