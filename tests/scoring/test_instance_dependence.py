"""Evidence that noise grows as images get less clear."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.instance_dependence import InstanceDependence, find_instance_dependence
from cleaner.scoring.out_of_fold import OutOfFold
from tests.support.planted import predictions_of

NUM = 20_000


def predict(noise: np.ndarray, errors: np.ndarray, seed: int = 0) -> OutOfFold:
    """Predictions in falling confidence; the given label differs by noise (n,) and by the model's errors (n,)."""
    rng = np.random.default_rng(seed)
    differs = (rng.random(len(noise)) < noise) ^ (rng.random(len(noise)) < errors)
    confidence = np.linspace(0.99, 0.3, len(noise))
    first, second = np.where(differs, 0, 1), np.where(differs, 1, 0)  # the given class is the first column
    probs = np.where(differs[:, None], [[0.0, 1.0]], [[1.0, 0.0]]) * confidence[:, None]
    probs += (1 - probs.sum(1, keepdims=True)) * (probs == 0)
    shuffled = rng.permutation(len(noise))
    return predictions_of(np.stack([first, second], 1)[shuffled], probs[shuffled].astype(np.float32))


def found(noise: np.ndarray, errors: np.ndarray) -> InstanceDependence:
    return find_instance_dependence(predict(noise, errors), np.full(len(noise), -1))


CLARITY = np.linspace(0, 1, NUM)
ERRORS = 0.5 * CLARITY**4


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_even_noise_does_not_depend_on_the_instance(rate: float) -> None:
    assert found(np.full(NUM, rate), ERRORS).weight == 0


@pytest.mark.parametrize("low", [0.03, 0.1])
def test_noise_that_grows_does(low: float) -> None:
    this = found(low + 0.3 * CLARITY, ERRORS)
    assert this.weight == 1 and this.growth > 5 and this.floor > 0.08


def test_a_models_own_errors_are_no_noise() -> None:
    this = found(np.zeros(NUM), 0.6 * CLARITY**1.5)
    assert this.growth > 5 and this.floor < 0.03 and this.weight == 0


def test_few_images_show_nothing() -> None:
    for num in (0, 5, 300):
        clarity = np.linspace(0, 1, num)
        assert found(0.05 + 0.3 * clarity, 0.5 * clarity**4).weight < 0.5


def test_rows_that_people_judged_and_rows_without_a_score_are_left_out() -> None:
    noise = np.full(NUM, 0.2)
    predictions = predict(noise, ERRORS)
    # people looked at unclear images with wrong labels, and confirmed all others among the clear ones
    looked = np.where(predictions.given_rank > 0, predictions.predicted_confidence > 0.9, False)
    decided = np.where(looked, 1, -1)
    with_people = find_instance_dependence(predictions, decided)
    rows = np.flatnonzero(~looked)
    without = find_instance_dependence(predictions.take(rows), np.full(len(rows), -1))
    assert with_people == without
