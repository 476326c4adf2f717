"""Cross-training and single fits, reduced by chunk to what the label rules need: never images x classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from cleaner.dataset.store import Arrays
from cleaner.modeling.learner import Learner, Predictor, Predicts, Recipe

_NO_ROWS = -30.0
"""Log prior of a class that a model has no rows of."""
NUM_OTHERS = 31
"""So many other classes, the most probable ones, are remembered beside the given one."""


@dataclass(frozen=True)
class Judgement:
    """What models that did not learn from n images say of them."""

    given_rank: np.ndarray
    """(n,) int32: how many classes are more probable than the given one; -1 where the class could not be scored."""
    self_confidence: np.ndarray
    """(n,) float32: probability of the given label; NaN where it could not be scored."""
    predicted: np.ndarray
    """(n,) int32: the most probable class."""
    predicted_confidence: np.ndarray
    """(n,) float32: its probability."""
    others: np.ndarray
    """(n, m) int32: the most probable classes besides the given one, falling; m is 0 where nobody asked for them."""
    others_confidence: np.ndarray
    """(n, m) float32: their probabilities."""

    @classmethod
    def empty(cls, num: int, num_others: int = 0) -> Judgement:
        """A judgement of `num` images that says nothing."""
        return cls(
            np.full(num, -1, np.int32),
            np.full(num, np.nan, np.float32),
            np.full(num, -1, np.int32),
            np.full(num, np.nan, np.float32),
            np.full((num, num_others), -1, np.int32),
            np.zeros((num, num_others), np.float32),
        )

    def take(self, rows: np.ndarray) -> Judgement:
        """The judgement of some rows, by number."""
        return Judgement(**{name: values[rows] for name, values in vars(self).items()})

    def arrays(self) -> Arrays:
        """As named arrays, for an ArrayStore."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Judgement:
        """The inverse of `arrays`."""
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Question:
    """Images that a model is to judge; see `judge`."""

    rows: np.ndarray
    given: np.ndarray
    scorable: np.ndarray
    num_others: int = 0


@runtime_checkable
class FitsAndJudges(Protocol):
    """A Learner whose models are trained elsewhere, and best judge there, too."""

    def fit_and_judge(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        questions: Sequence[Question],
        *,
        sample_weights: np.ndarray,
        log_prior: np.ndarray,
        recipe: Recipe,
        seed: int,
        checkpoint_dir: Path | None = None,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> list[tuple[Predictor, Judgement]]:
        """Fit M models as Learner.fit does; each answers its one of M questions."""


def judge(
    predictor: Predicts, rows: np.ndarray, given: np.ndarray, scorable: np.ndarray, num_others: int = 0
) -> Judgement:
    """Judge images `rows` (n,) under their `given` (n,) class numbers; `scorable` (K,) bool: classes the model knows.

    Ties count against the given label only where the other class has the smaller number, so ranks are unique.
    """
    num_others = min(num_others, len(scorable) - 1)
    result = Judgement.empty(len(rows), num_others)
    for part, probs in predictor.predict(rows):
        own = given[part]
        line = np.arange(len(own))
        confidence = probs[line, own]
        above = (probs > confidence[:, None]).sum(1) + (
            (probs == confidence[:, None]) & (np.arange(probs.shape[1]) < own[:, None])
        ).sum(1)
        known = scorable[own]
        result.given_rank[part] = np.where(known, above, -1)
        result.self_confidence[part] = np.where(known, confidence, np.nan)
        best = probs.argmax(1)
        result.predicted[part] = best
        result.predicted_confidence[part] = probs[line, best]
        if num_others:
            rest = torch.tensor(probs)
            rest[torch.from_numpy(line), torch.from_numpy(own)] = -1
            values, which = rest.topk(num_others)
            result.others[part], result.others_confidence[part] = which.numpy(), values.numpy()
    return result


def cross_train(
    learner: Learner,
    rows: np.ndarray,
    given: np.ndarray,
    fold: np.ndarray,
    row_weights: np.ndarray,
    *,
    num_classes: int,
    recipe: Recipe,
    seed: int,
    targets: np.ndarray | None = None,
    checkpoint_dir: Path | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> tuple[Judgement, list[Predictor]]:
    """Out-of-fold judgement of n images: each is judged by the model that learned from the other folds.

    `rows`, `given`, `fold` (n,): row numbers, class numbers, fold numbers from 0; `row_weights` (n,) >= 0: how much
    each row counts where it is learned from, 0: not at all; `targets` (n,): what is learned, if not `given`;
    `checkpoint_dir`: where an interrupted fit is taken up.
    Returns the judgement, with its others, and the models, one a fold.
    """
    folds = np.unique(fold)
    weights = np.stack([np.where(fold != f, row_weights, 0).astype(np.float32) for f in folds])
    targets = given if targets is None else targets
    prior = log_priors(targets, weights, num_classes)
    known = [np.bincount(targets, weights=w, minlength=num_classes) > 0 for w in weights]
    held_out = [np.flatnonzero(fold == f) for f in folds]
    questions = [Question(rows[m], given[m], k, NUM_OTHERS) for m, k in zip(held_out, known, strict=True)]
    judged = _fit_and_judge(
        learner, rows, targets, questions, sample_weights=weights, log_prior=prior, recipe=recipe, seed=seed,
        checkpoint_dir=checkpoint_dir, on_epoch=on_epoch,
    )  # fmt: skip
    result = Judgement.empty(len(rows), min(NUM_OTHERS, num_classes - 1))
    for mine, (_, part) in zip(held_out, judged, strict=True):
        for name, values in part.arrays().items():
            getattr(result, name)[mine] = values
    return result, [model for model, _ in judged]


def fit_and_judge(
    learner: Learner,
    rows: np.ndarray,
    targets: np.ndarray,
    negatives: np.ndarray,
    given: np.ndarray,
    *,
    num_classes: int,
    recipe: Recipe,
    seed: int,
    checkpoint_dir: Path | None = None,
    on_epoch: Callable[[], None] = lambda: None,
) -> Judgement:
    """Fit one model on `rows` (n,) with `targets` (n,) and judge `negatives` (m,) under their `given` (m,) classes.

    `checkpoint_dir`: where an interrupted fit is taken up.
    """
    weights = np.ones((1, len(rows)), np.float32)
    prior = log_priors(targets, weights, num_classes)
    question = Question(negatives, given, np.bincount(targets, minlength=num_classes) > 0)
    ((_, judgement),) = _fit_and_judge(
        learner, rows, targets, [question], sample_weights=weights, log_prior=prior, recipe=recipe, seed=seed,
        checkpoint_dir=checkpoint_dir, on_epoch=on_epoch,
    )  # fmt: skip
    return judgement


def _fit_and_judge(
    learner: Learner, rows: np.ndarray, targets: np.ndarray, questions: Sequence[Question], **how: Any
) -> list[tuple[Predictor, Judgement]]:
    if isinstance(learner, FitsAndJudges):
        return learner.fit_and_judge(rows, targets, questions, **how)
    models = learner.fit(rows, targets, **how)
    return [(model, judge(model, **vars(q))) for model, q in zip(models, questions, strict=True)]


def log_priors(targets: np.ndarray, sample_weights: np.ndarray, num_classes: int) -> np.ndarray:
    """Log of each class's share of the weight, (M, K) float32, for targets (n,) and sample weights (M, n)."""
    counts = np.stack([np.bincount(targets, weights=w, minlength=num_classes) for w in sample_weights])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1e-12)
    return np.where(counts > 0, np.log(np.maximum(shares, 1e-12)), _NO_ROWS).astype(np.float32)
