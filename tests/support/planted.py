"""Planted features: embeddings of classes in look-alike pairs, with labels of which every tenth is wrong."""

from __future__ import annotations

import numpy as np

from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.learner import FitJob
from cleaner.modeling.recipes import Recipe
from cleaner.scoring.out_of_fold import OutOfFold

K, PER_CLASS = 8, 60


def planted() -> tuple[Embeddings, np.ndarray, np.ndarray]:
    """Embeddings of gaussian classes in look-alike pairs, true and given labels."""
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(K), PER_CLASS)
    centres = rng.normal(size=(K, 32)) * 1.5
    centres[1::2] = centres[::2] + rng.normal(size=(K // 2, 32))
    x = centres[true] + rng.normal(size=(len(true), 32)) * 0.5
    given = true.copy()
    given[::10] = (true[::10] + rng.integers(1, K, len(given[::10]))) % K
    views = [np.abs(x + rng.normal(size=x.shape) * 0.05).astype(np.float16) for _ in range(2)]
    return Embeddings(*views), true, given


def predictions_of(classes: np.ndarray, probs: np.ndarray) -> OutOfFold:
    """Out-of-fold predictions from class numbers (n, 1 + m), the given one first, and their probabilities."""
    line, best = np.arange(len(classes)), probs.argmax(1)
    return OutOfFold(
        given=classes[:, 0],
        given_rank=(probs[:, 1:] > probs[:, :1]).sum(1).astype(np.int32),
        self_confidence=probs[:, 0],
        predicted=classes[line, best].astype(np.int32),
        predicted_confidence=probs[line, best],
        others=classes[:, 1:].astype(np.int32),
        others_confidence=probs[:, 1:],
    )


def single_job(rows: np.ndarray, targets: np.ndarray, num_classes: int, recipe: Recipe, *, seed: int = 0) -> FitJob:
    """One model, for which all rows count the same."""
    weights = np.ones((1, len(rows)), np.float32)
    return FitJob(rows=rows, targets=targets, sample_weights=weights, num_classes=num_classes, recipe=recipe, seed=seed)
