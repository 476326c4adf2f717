"""Cross-training and single fits on planted features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cleaner.modeling import drawn_rows
from cleaner.modeling.closed_form import ClosedFormLearner, is_for_closed_form
from cleaner.modeling.crossval import FoldedRows, cross_train, fit_and_predict
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from tests.support.planted import K, planted, single_job


def in_folds(given: np.ndarray) -> FoldedRows:
    rows = np.arange(len(given))
    return FoldedRows(rows, given, rows % 5, np.ones(len(given)))


def record_draws(learner: ProbeLearner, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that the learner draws from now on."""
    drawn: list[int] = []
    take = learner.features.take

    def recorded(rows: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
        drawn.extend(rows.tolist())
        return take(rows, mirrored)

    monkeypatch.setattr(learner.features, "take", recorded)
    return drawn


def test_cross_training_ranks_wrong_labels_low_and_right_ones_first() -> None:
    embeddings, true, given = planted()
    learner = ProbeLearner(embeddings, K)
    predictions, models = cross_train(learner, in_folds(given), PROBE_RECIPES[0], seed=0)
    assert len(models) == 5
    wrong = given != true
    assert (predictions.given_rank[~wrong] == 0).mean() >= 0.9 and (predictions.given_rank[wrong] > 0).mean() >= 0.95
    assert (predictions.predicted[wrong] == true[wrong]).mean() >= 0.9
    assert (predictions.self_confidence <= predictions.predicted_confidence + 1e-6).all()
    # each image is predictions by a model that did not learn from it: its own label moves nothing
    moved = given.copy()
    moved[7] = (moved[7] + 1) % K
    again, _ = cross_train(learner, in_folds(moved), PROBE_RECIPES[0], seed=0)
    assert again.predicted_confidence[7] == pytest.approx(predictions.predicted_confidence[7], abs=1e-5)


@pytest.mark.parametrize("learner", [ProbeLearner, ClosedFormLearner])
@pytest.mark.parametrize("recipe", [0, 1])
def test_one_view_judges_like_two_that_are_equal(learner: type[ProbeLearner | ClosedFormLearner], recipe: int) -> None:
    embeddings, _, given = planted()
    equal = (Embeddings.of_views([embeddings.plain]), Embeddings(embeddings.plain, embeddings.plain.copy()))
    one, twice = (
        cross_train(learner(views, K), in_folds(given), learner.recipes[recipe], seed=0)[0] for views in equal
    )
    assert np.array_equal(one.given_rank, twice.given_rank)
    assert np.allclose(one.self_confidence, twice.self_confidence, atol=1e-6)


def test_products_in_bf16_judge_alike() -> None:
    embeddings, _, given = planted()
    exact, rounded = (
        cross_train(ProbeLearner(embeddings, K, precision), in_folds(given), PROBE_RECIPES[0], seed=0)[0]
        for precision in ("fp32", "bf16")
    )
    assert (exact.predicted == rounded.predicted).mean() >= 0.99
    assert 0 < np.abs(exact.self_confidence - rounded.self_confidence).max() < 0.05


@pytest.mark.parametrize("per_class", [15, 100, 400])
def test_a_fit_draws_so_many_rows_of_a_class_and_counts_all_its_epochs(
    per_class: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, true, given = planted()
    learner, rows, epochs = ProbeLearner(embeddings, K), np.arange(len(given)), []
    job = replace(single_job(rows, given, K, PROBE_RECIPES[0]), on_epoch=lambda: epochs.append(1))
    unbounded = learner.fit(job)[0].state()["weight"]
    drawn = record_draws(learner, monkeypatch)
    monkeypatch.setattr(drawn_rows, "_DRAWS_PER_CLASS", per_class)
    monkeypatch.setattr(drawn_rows, "_LEAST_DRAWS", 100)
    (head,) = learner.fit(job)
    most = PROBE_RECIPES[0].epochs * len(given)
    assert len(epochs) == 2 * PROBE_RECIPES[0].epochs
    assert min(per_class * K, most) - K < len(drawn) <= per_class * K
    assert np.array_equal(head.state()["weight"], unbounded) == (len(drawn) == most)
    if per_class * K < len(given):
        assert len(set(drawn)) == len(drawn)  # of a large set no row is drawn twice
    predicted = np.concatenate([probs.argmax(1) for _, probs in head.predict(rows)])
    assert (predicted == true).mean() > 0.9


def test_small_classes_are_drawn_in_full_beside_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, true, given = planted()
    rows = np.flatnonzero((true % 2 == 1) | (np.arange(len(true)) % 12 == 1))  # half of the classes has five images
    learner, counts = ProbeLearner(embeddings, K), np.bincount(given[rows], minlength=K)
    weights = np.ones((2, len(rows)), np.float32)
    weights[:, 3], weights[0, ::3], weights[1, 1::3] = 0, 0, 0  # row 3 counts for neither model
    drawn = record_draws(learner, monkeypatch)
    monkeypatch.setattr(drawn_rows, "_DRAWS_PER_CLASS", 60)
    monkeypatch.setattr(drawn_rows, "_LEAST_DRAWS", 1)
    job = replace(single_job(rows, given[rows], K, PROBE_RECIPES[0]), sample_weights=weights)
    heads = learner.fit(job)
    times = np.bincount(drawn, minlength=len(true))
    assert times[rows[3]] == 0 and times.sum() == len(drawn) <= 60 * K
    of_class = np.bincount(given[drawn], minlength=K)
    rare = counts <= 10
    assert (of_class[rare] == PROBE_RECIPES[0].epochs * counts[rare]).all()
    assert np.ptp(of_class[~rare]) <= 1 and of_class[~rare].min() > of_class[rare].max()
    for number in np.unique(given[rows]):
        mine = times[rows[(given[rows] == number) & (np.arange(len(rows)) != 3)]]
        assert np.ptp(mine) <= 1  # of a class no row counts for more than another
    for head in heads:
        predicted = np.concatenate([probs.argmax(1) for _, probs in head.predict(np.arange(len(true)))])
        assert (predicted == true).mean() > 0.9


def test_heads_are_in_closed_form_where_steps_would_take_hours() -> None:
    assert not is_for_closed_form(100_000_000, 1_000)
    assert not is_for_closed_form(300_000, 5_000)
    assert is_for_closed_form(1_000_000, 5_000)
    assert is_for_closed_form(150_000, 20_000)


def test_a_class_without_images_outside_a_fold_cannot_be_scored_there() -> None:
    embeddings, _, given = planted()
    fold = np.arange(len(given)) % 5
    fold[given == 3] = 2
    images = FoldedRows(np.arange(len(given)), given, fold, np.ones(len(given)))
    predictions, _ = cross_train(ProbeLearner(embeddings, K), images, PROBE_RECIPES[0], seed=0)
    lone = given == 3
    assert (predictions.given_rank[lone] == -1).all() and np.isnan(predictions.self_confidence[lone]).all()
    assert (predictions.given_rank[~lone] >= 0).all() and not (predictions.predicted[fold == 2] == 3).any()


def test_small_classes_are_not_crowded_out_by_large_ones() -> None:
    """Fits are corrected for the prior: with 20 images against 200 a class is still recognised."""
    rng = np.random.default_rng(0)
    sizes = np.array([200, 200, 200, 20])
    true = np.repeat(np.arange(4), sizes)
    x = np.abs(rng.normal(size=(4, 32))[true] * 1.2 + rng.normal(size=(len(true), 32)) * 0.7).astype(np.float16)
    even, odd = np.arange(0, 620, 2), np.arange(1, 620, 2)
    job = single_job(even, true[even], 4, PROBE_RECIPES[0], seed=0)
    predictions = fit_and_predict(ProbeLearner(Embeddings(x, x), 4), job, odd, true[odd])
    right = predictions.given_rank == 0
    assert right[true[1::2] == 3].mean() >= 0.8 and right.mean() >= 0.8
