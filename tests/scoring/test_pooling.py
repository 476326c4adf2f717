"""Two models as one: who predicts the given labels better counts more, and the pool is what its formula says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from cleaner.scoring.held_out import HeldOut, predict_held_out
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold
from cleaner.scoring.pooling import Pool, weigh_pool

NUM, NUM_CLASSES = 3000, 6


@dataclass(frozen=True)
class Known:
    """Probabilities held in memory."""

    probs: np.ndarray

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(rows), 1000):
            part = slice(start, min(start + 1000, len(rows)))
            yield part, self.probs[rows[part]]

    def reduced(self, given: np.ndarray, num_others: int) -> OutOfFold:
        return predict_held_out(self, HeldOut(np.arange(len(given)), given, np.ones(NUM_CLASSES, bool), num_others))


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    return np.random.default_rng(0).integers(0, NUM_CLASSES, NUM)


def model(right: np.ndarray, sharpness: float, seed: int) -> Known:
    """A calibrated model: the logit of class k is a noisy observation of whether k is right."""
    rng = np.random.default_rng(seed)
    logits = sharpness**2 * np.eye(NUM_CLASSES)[right] + sharpness * rng.normal(size=(NUM, NUM_CLASSES))
    probs = np.exp(logits - logits.max(1, keepdims=True))
    return Known((probs / probs.sum(1, keepdims=True)).astype(np.float32))


def given_labels(right: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Given labels with symmetric noise, and its transition matrix."""
    rng = np.random.default_rng(5)
    shift = np.where(rng.random(NUM) < rate, rng.integers(1, NUM_CLASSES, NUM), 0)
    transition = np.full((NUM_CLASSES, NUM_CLASSES), rate / (NUM_CLASSES - 1), np.float32)
    np.fill_diagonal(transition, 1 - rate)
    return (right + shift) % NUM_CLASSES, transition


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_weight_follows_what_each_model_knows(right: np.ndarray, rate: float) -> None:
    """Independent calibrated models are best multiplied: equal weights; guesses weigh nothing."""
    given, transition = given_labels(right, rate)
    free = np.full(NUM, UNDECIDED)
    one, other = model(right, 1.5, 1), model(right, 1.5, 2)
    chance = Known(np.random.default_rng(3).dirichlet(np.full(NUM_CLASSES, 0.5), NUM).astype(np.float32))
    ours = one.reduced(given, NUM_CLASSES - 1)
    assert weigh_pool(Pool(ours, other, 0.9), transition, free).weight == pytest.approx(0.5, abs=0.07)
    assert weigh_pool(Pool(chance.reduced(given, 5), other, 0.5), transition, free).weight > 0.9
    assert weigh_pool(Pool(ours, chance, 0.5), transition, free).weight < 0.1


def test_a_pool_is_right_more_often_than_its_parts(right: np.ndarray) -> None:
    given, transition = given_labels(right, 0.2)
    one, other = model(right, 1.2, 1), model(right, 1.6, 2)
    pool = weigh_pool(Pool(one.reduced(given, 5), other, 0.5), transition, np.full(NUM, UNDECIDED))
    pooled = np.concatenate([probs for _, probs in pool.predict(np.arange(NUM))])
    shares = [float((p.argmax(1) == right).mean()) for p in (one.probs, other.probs, pooled)]
    assert shares[2] > max(shares[:2]) + 0.02, shares
    assert pooled.sum(1) == pytest.approx(1, abs=1e-5)


def test_the_pool_is_the_weighted_geometric_mean(right: np.ndarray) -> None:
    one, other = model(right, 1.2, 1), model(right, 1.6, 2)
    rows = np.arange(7)
    (_, pooled), *_ = Pool(one.reduced(right, 5), other, 0.25).predict(rows)
    mean = one.probs[rows] ** 0.75 * other.probs[rows] ** 0.25
    assert pooled == pytest.approx(mean / mean.sum(1, keepdims=True), abs=1e-5)
    # classes that our reduced predictions do not list share the rest
    (_, spread), *_ = Pool(one.reduced(right, 2), other, 0.0).predict(rows)
    order = np.argsort(one.probs[rows], axis=1)
    rest = [[c for c in order[i] if c != right[i]][:-2] for i in rows]
    for i, classes in enumerate(rest):
        assert spread[i, classes] == pytest.approx(one.probs[i, classes].mean(), abs=1e-5)


def test_labels_that_people_judged_and_images_without_a_score_do_not_count(right: np.ndarray) -> None:
    given, transition = given_labels(right, 0.2)
    pool = Pool(model(right, 1.2, 1).reduced(given, 5), model(right, 1.6, 2), 0.4)
    assert weigh_pool(pool, transition, np.zeros(NUM, np.int64)) is pool
