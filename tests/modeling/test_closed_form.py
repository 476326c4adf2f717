"""Closed-form heads: the same discriminant as scikit-learn's, weights that count, rows that are held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cleaner.modeling.closed_form import ClosedFormLearner
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.learner import FitJob
from cleaner.modeling.recipes import CLOSED_FORM_RECIPES
from tests.support.planted import single_job

K, DIM = 5, 24


def planted(num: int = 600, seed: int = 0) -> tuple[Embeddings, np.ndarray, np.ndarray]:
    """Embeddings in K clusters, right labels, and labels of which a tenth are wrong."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, K, num)
    centres = np.abs(rng.normal(size=(K, DIM)))
    plain = np.abs(centres[right] + 0.4 * rng.normal(size=(num, DIM))).astype(np.float16)
    given = np.where(rng.random(num) < 0.1, (right + rng.integers(1, K, num)) % K, right)
    return Embeddings(plain, plain), right, given


def test_it_is_the_shrunken_discriminant() -> None:
    embeddings, right, _ = planted()
    learner = ClosedFormLearner(embeddings, K)
    rows, recipe = np.arange(len(right)), CLOSED_FORM_RECIPES[0]
    (head,) = learner.fit(single_job(rows, right, K, recipe, seed=0))
    x = learner.features("plain", rows).numpy()
    # scikit-learn scales each feature by its pooled deviation before it shrinks; without shrinkage both agree
    plain = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(K, 1 / K)).fit(x, right)
    shrunken = head.state()
    mine = x @ shrunken["weight"].T + shrunken["bias"]
    theirs = plain.decision_function(x)
    assert (mine.argmax(1) == theirs.argmax(1)).mean() > 0.97
    probs = np.concatenate([p for _, p in head.predict(rows)])
    assert probs.sum(1) == pytest.approx(1, abs=1e-5) and (probs.argmax(1) == right).mean() > 0.95


def test_out_of_fold_predictions_find_wrong_labels_and_own_labels_move_nothing() -> None:
    embeddings, right, given = planted()
    learner, recipe = ClosedFormLearner(embeddings, K), CLOSED_FORM_RECIPES[0]
    rows, ones = np.arange(len(given)), np.ones(len(given), np.float32)
    predictions, _ = cross_train(learner, FoldedRows(rows, given, rows % 5, ones), recipe, seed=0)
    wrong = given != right
    assert (predictions.given_rank[wrong] > 0).mean() > 0.95 and (predictions.given_rank[~wrong] == 0).mean() > 0.95
    moved = given.copy()
    moved[7] = (moved[7] + 1) % K
    again, _ = cross_train(learner, FoldedRows(rows, moved, rows % 5, ones), recipe, seed=0)
    assert again.predicted_confidence[7] == pytest.approx(predictions.predicted_confidence[7], abs=1e-6)


def test_a_row_without_weight_and_a_class_without_rows_do_not_count() -> None:
    embeddings, right, given = planted()
    rows, learner = np.arange(len(given)), ClosedFormLearner(embeddings, K)
    trusted = np.where(given == right, 1.0, 0.0).astype(np.float32)[None]
    trusted[:, given == 4] = 0
    left = np.flatnonzero(trusted[0])
    job = FitJob(rows=rows, targets=given, sample_weights=trusted, num_classes=K, recipe=CLOSED_FORM_RECIPES[0], seed=0)
    ones = np.ones((1, len(left)), np.float32)
    (weighted,) = learner.fit(job)
    (subset,) = learner.fit(replace(job, rows=left, targets=given[left], sample_weights=ones))
    both = [np.concatenate([p for _, p in head.predict(rows)]) for head in (weighted, subset)]
    assert np.allclose(both[0], both[1], atol=1e-4)
    assert (both[0][:, 4] < 1e-6).all()
