"""The noise classifier, on planted noise."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.noise_evidence import EVIDENCE
from cleaner.scoring.noise_model import NoiseModel, NoiseSeeds, Sight
from cleaner.scoring.noise_rounds import run_rounds

NUM, NUM_NOISE = 1200, 120
IS_NOISE = np.arange(NUM) < NUM_NOISE


def planted(distance: float = 9.0, told_by_rank: float = 0.0) -> Sight:
    """Features (NUM, 16) in which noise lies `distance` away in two clusters; ranks that tell it by `told_by_rank`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM, 16))
    x[IS_NOISE, 0] += distance
    x[: NUM_NOISE // 2, 1] += distance
    x = x.astype(np.float32)
    ranks = rng.normal(size=(NUM, 3)).astype(np.float32)
    ranks[IS_NOISE, 0] += told_by_rank
    return Sight([lambda rows: x[rows]], ranks, 2.0 * ranks[:, 0] - 3.0, np.arange(NUM), np.ones(NUM, bool))


def seeds_of(noise: range, normal: range) -> NoiseSeeds:
    is_seed = np.isin(np.arange(NUM), [*noise, *normal])
    return NoiseSeeds(is_seed, is_seed & IS_NOISE)


@pytest.mark.parametrize(("distance", "told_by_rank"), [(9.0, 0.0), (0.0, 6.0)])
def test_planted_noise_is_found_by_what_tells_it(distance: float, told_by_rank: float) -> None:
    seeds = seeds_of(range(0, 120, 6), range(120, 1200, 12))
    sight = planted(distance, told_by_rank)
    estimate = NoiseModel(sight, seeds).learn(seeds.is_noise, seeds.is_seed & ~IS_NOISE)
    found, free = estimate.noise_prob > 0.9, ~seeds.is_seed
    assert found[IS_NOISE & free].mean() >= 0.9 and IS_NOISE[found & free].mean() >= 0.95
    assert estimate.share == pytest.approx(0.1, abs=0.03) and estimate.seed_loss < 0.3


def test_rows_that_were_learned_are_scored_by_a_model_that_did_not() -> None:
    sight = planted(0.0)  # nothing to learn: a model could only remember
    seeds = seeds_of(range(0, 120, 3), range(120, 1200, 12))
    estimate = NoiseModel(sight, seeds).learn(seeds.is_noise, seeds.is_seed & ~IS_NOISE)
    assert estimate.seed_loss > 0.6
    noise, normal = estimate.noise_prob[seeds.is_noise], estimate.noise_prob[seeds.is_seed & ~IS_NOISE]
    assert abs(np.median(noise) - np.median(normal)) < 0.2


def test_copies_are_scored_by_a_model_that_saw_none_of_them() -> None:
    sight = planted(0.0)
    seeds = seeds_of(range(120), range(120, 1200, 2))
    copies = Sight([lambda rows: twin_features[rows]], sight.ranks, sight.default_log_odds, groups, sight.countable)
    estimate = NoiseModel(copies, seeds).learn(seeds.is_noise, seeds.is_seed & ~IS_NOISE)
    assert estimate.seed_loss > 0.5


groups = np.arange(NUM) // 2
twin_features = np.repeat(np.random.default_rng(3).normal(size=(NUM // 2, 400)), 2, axis=0).astype(np.float32)


def test_rounds_over_planted_noise_end_by_themselves_with_and_without_seeds() -> None:
    for seeds, sight in (
        (seeds_of(range(0, 120, 6), range(120, 1200, 12)), planted()),
        (seeds_of(range(0), range(0)), planted(told_by_rank=4.0)),
    ):
        rng = np.random.default_rng(0)
        model = NoiseModel(sight, seeds)
        result = run_rounds(
            model, seeds, sight.countable, threshold=0.9, max_rounds=10, rng=rng, on_round=lambda _: None
        )
        last = result.rounds[-1]
        assert result.stopped != "max_rounds"
        assert last.found[IS_NOISE & ~seeds.is_seed].mean() >= 0.9 and IS_NOISE[last.found].mean() >= 0.95


@pytest.mark.parametrize(("distance", "told_by_rank", "reason"), [(9.0, 0.0, "content"), (0.0, 6.0, EVIDENCE[0])])
def test_it_names_what_speaks_for_noise(distance: float, told_by_rank: float, reason: str) -> None:
    seeds = seeds_of(range(0, 120, 6), range(120, 1200, 12))
    model = NoiseModel(planted(distance, told_by_rank), seeds)
    for estimate in (model.learn(seeds.is_noise, seeds.is_seed & ~IS_NOISE), model.by_answers()):
        assert (estimate.explain(np.flatnonzero(IS_NOISE)) == reason).mean() >= 0.9


def test_what_is_left_by_the_answers_falls_as_noise_is_found_and_does_not_flatter() -> None:
    sight = planted(5.0, 2.0)
    for draw in range(3):
        is_seed = np.isin(np.arange(NUM), np.random.default_rng(draw).choice(NUM, 100, replace=False))
        expected, left = [], []
        for _ in range(4):
            probs = NoiseModel(sight, NoiseSeeds(is_seed, is_seed & IS_NOISE)).by_answers().noise_prob
            expected.append(float(probs[~is_seed].sum()))
            left.append(int((IS_NOISE & ~is_seed).sum()))
            is_seed[np.argsort(np.where(is_seed, 1, -probs))[:40]] = True  # the likeliest are asked next
        assert left[-1] <= 5
        assert expected == sorted(expected, reverse=True)
        assert all(0.8 * true <= e <= 1.3 * true + 35 for e, true in zip(expected, left, strict=True))
