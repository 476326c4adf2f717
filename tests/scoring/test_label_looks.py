"""What verdicts on labels teach about images like those that were looked at."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.scoring.label_looks import teach
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold
from tests.support.planted import predictions_of

NUM, DIM = 240, 12
"""Images of three kinds, 80 each, which differ in what they look like."""


def looks(seed: int = 0, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, DIM))
    unit: np.ndarray = centres[np.arange(NUM) % 3] + spread * rng.normal(size=(NUM, DIM))
    return unit.astype(np.float16)


def predictions(own: np.ndarray) -> OutOfFold:
    """Images of three kinds are called class 0, 1, 2; `own` (NUM,): its probability, the rest on the next class."""
    given = np.arange(NUM) % 3
    classes = np.stack([given, (given + 1) % 3, (given + 2) % 3], 1)
    return predictions_of(classes, np.stack([own, 0.8 * (1 - own), 0.2 * (1 - own)], 1).astype(np.float32))


def verdicts(rows: np.ndarray, right: np.ndarray) -> np.ndarray:
    decided = np.full(NUM, UNDECIDED)
    decided[rows] = right[rows]
    return decided


def test_an_error_that_images_share_is_mended_where_they_are_alike() -> None:
    model, given = predictions(np.full(NUM, 0.6)), np.arange(NUM) % 3
    right = np.where(given == 0, 1, given)  # what is called class 0 is class 1; the others are as given
    seen = np.arange(0, NUM, 7)
    taught = teach(model, looks(), np.arange(NUM), verdicts(seen, right))
    rest = np.setdiff1d(np.arange(NUM), seen)
    mistaken = rest[given[rest] == 0]
    assert (taught.predicted[mistaken] == 1).all() and (taught.given_rank[mistaken] >= 1).all()
    assert taught.self_confidence[mistaken].max() < 0.3
    assert taught.self_confidence[rest[given[rest] > 0]].min() > 0.6, "what was confirmed is surer than before"


def test_what_an_image_with_a_verdict_gets_is_what_the_others_say_of_it() -> None:
    model, given = predictions(np.full(NUM, 0.6)), np.arange(NUM) % 3
    seen = np.arange(0, NUM, 7)
    right = given.copy()
    odd = seen[given[seen] == 0][3]
    right[odd] = 1  # alone among its kind
    taught = teach(model, looks(), np.arange(NUM), verdicts(seen, right))
    assert taught.predicted[odd] == 0
    assert taught.self_confidence[odd] > 0.6


@pytest.mark.parametrize("seed", range(4))
def test_errors_without_a_pattern_teach_hardly_anything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, given = predictions(np.full(NUM, 0.7)), np.arange(NUM) % 3
    right = np.where(rng.random(NUM) < 0.7, given, (given + 1 + (rng.random(NUM) < 0.2)) % 3)
    nothing_alike = rng.normal(size=(NUM, 400)).astype(np.float16)
    taught = teach(model, nothing_alike, np.arange(NUM), verdicts(np.arange(0, NUM, 4), right))
    assert np.abs(taught.self_confidence - 0.7).max() < 0.1


def test_a_copy_does_not_vouch_for_its_copy() -> None:
    model, x, given = predictions(np.full(NUM, 0.6)), looks(), np.arange(NUM) % 3
    x[3], x[6] = x[0], x[0]
    groups = np.arange(NUM)
    groups[[0, 3, 6]] = 0
    right = np.where(given == 0, 1, given)
    seen = np.array([0, 21, 42, 1, 2])
    once = teach(model, x, groups, verdicts(seen, right))
    thrice = teach(model, x, groups, verdicts(np.append(seen, [3, 6]), right))
    assert np.array_equal(once.probs, thrice.probs) and not np.array_equal(once.probs, model.probs)


def test_the_predictions_stay_in_order_and_sum_up_as_before() -> None:
    rng = np.random.default_rng(2)
    model, given = predictions(rng.uniform(0.2, 0.9, NUM)), np.arange(NUM) % 3
    model.self_confidence[5], model.given_rank[5], model.others[9, 1], model.others_confidence[9, 1] = np.nan, -1, -1, 0
    sums = model.probs.sum(1)
    taught = teach(model, looks(), np.arange(NUM), verdicts(np.arange(0, NUM, 5), np.where(given == 2, 0, given)))
    assert np.allclose(taught.probs.sum(1)[np.arange(NUM) != 5], sums[np.arange(NUM) != 5], atol=1e-6)
    assert (np.diff(taught.others_confidence, axis=1) <= 0).all()
    scored = np.arange(NUM) != 5
    assert np.array_equal(taught.given_rank[scored], (taught.others_confidence > taught.probs[:, :1]).sum(1)[scored])
    assert taught.given_rank[5] == -1 and np.isnan(taught.self_confidence[5]) and taught.others[9, 1] == -1


def test_without_verdicts_or_looks_nothing_changes() -> None:
    model, right = predictions(np.full(NUM, 0.6)), np.zeros(NUM, np.int64)
    assert teach(model, looks(), np.arange(NUM), np.full(NUM, UNDECIDED)) is model
    assert teach(model, np.zeros((NUM, 0)), np.arange(NUM), verdicts(np.arange(9), right)) is model
