"""Fit to the classes and agreement of neighbours, on planted clusters."""

from __future__ import annotations

import numpy as np

from cleaner.modeling.class_evidence import MeanViewFeatures, compute_neighbour_agreement
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
