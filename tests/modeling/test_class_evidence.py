"""Fit to the classes and agreement of neighbours, on planted clusters."""

from __future__ import annotations

import numpy as np

from cleaner.modeling.class_evidence import MeanViewFeatures, compute_class_evidence, compute_neighbour_agreement
from cleaner.modeling.embeddings import Embeddings


def test_neighbours_agree_inside_a_class_and_not_between_classes() -> None:
    rng = np.random.default_rng(0)
    centres = rng.random((4, 32)) * 10
    targets = np.repeat(np.arange(4), 40)
    x = np.abs(centres[targets] + rng.normal(0, 0.2, (160, 32)))
    stray = np.abs(centres.mean(0) + rng.normal(0, 0.2, (10, 32)))
    plain = np.concatenate([x, stray]).astype(np.float16)
    labels = np.concatenate([targets, rng.integers(0, 4, 10)])
    features = MeanViewFeatures(Embeddings(plain, plain))
    agreement = compute_neighbour_agreement(features, labels, np.arange(170))
    assert (agreement[:160] > 0.9).mean() > 0.95 and agreement[160:].mean() < 0.7
    # copies are no neighbours, and rows without a label are nobody's
    twins = np.arange(170) // 85
    assert compute_neighbour_agreement(features, labels, twins)[:40].mean() < agreement[:40].mean()
    assert np.isnan(compute_neighbour_agreement(features, np.full(170, -1), np.arange(170))).all()


def test_few_rows_that_are_nearly_equal_do_no_harm() -> None:
    """Standardised, they are large, and their sums in float32 no positive definite matrix."""
    rng = np.random.default_rng(0)
    for num in (1, 2, 3, 6):
        row = rng.random((1, 1280)) * 3
        plain = (row + rng.normal(size=(num, 1280)) * 1e-3).astype(np.float16)
        features = MeanViewFeatures(Embeddings(plain, plain[:, ::-1].copy()))
        targets = np.arange(num) % 2
        fit = compute_class_evidence(features, targets, np.arange(num) % 5, 2, np.ones(num, bool))
        assert np.isfinite(fit.scores).all() and np.isfinite(fit.head).all(), num
