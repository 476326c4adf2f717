"""How probable each label is wrong: by rounds of cross-training, or by predictions that people brought.

The rounds weigh each row by the probability that its label is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.progress import Progress
from cleaner.scoring.held_out import NUM_OTHERS, HeldOut, Predicts, predict_held_out
from cleaner.scoring.issue_probability import find_f1_threshold, recalibrate
from cleaner.scoring.label_noise import LabelNoise, NoiseEstimate
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold
from cleaner.scoring.pooling import Pool, weigh_pool
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.passes import BROUGHT

if TYPE_CHECKING:
    from cleaner.stages.labels.fits import StoredFits

_MAX_ROUNDS = 4
_STABLE_SHARE = 0.01
"""The rounds end when a smaller share of the rows changes sides."""
_SEED_OFFSET = 500
"""Keeps the seeds of these rounds apart from those of the passes."""


@dataclass(frozen=True, kw_only=True)
class IssueEstimate:
    """Estimated label issues of n rows."""

    issue_prob: np.ndarray
    """(n,) float32: probability that the given label is wrong; NaN where it cannot be scored."""
    flagged: np.ndarray
    """(n,) bool: it is above the threshold."""
    threshold: float
    noise: LabelNoise
    num_reviewed: int
    """People's verdicts that recalibrated the probabilities."""
    zero: OutOfFold
    """From the cross-training on the labels as given, or brought by people."""
    last: OutOfFold
    """What the estimate was made from: the last round's predictions, or those brought."""
    rounds: list[dict[str, object]] = field(default_factory=list)
    models: list[Arrays] = field(default_factory=list)
    """The last fold models' arrays."""
    trusted: bool = False
    """Whether `last` are, for the most part, predictions that people brought (see NoiseEstimate)."""
    brought_weight: float | None = None
    """Weight of predictions that people brought in a pool with ours, 0 .. 1; None where there is no such pool."""


def estimate_issues(fits: StoredFits, zero: OutOfFold, brought: Predicts | None = None) -> IssueEstimate:
    """Estimate the issues of all rows; `zero`: predictions from the cross-training on the labels as given.

    Each round cross-trains, with the next recipe, on rows weighted by the out-of-fold probability that their label is
    right, and estimates the noise again, until hardly a row changes sides. The last estimate is the calibrated one
    (`NoiseEstimate.final`); it is made from a pool of the last round's predictions and those `brought`, if any.
    """
    labels = fits.labels
    predictions, models = zero, list[Arrays]()
    rounds: list[dict[str, object]] = []
    number, before = 0, np.zeros(0, bool)
    rows = np.arange(len(labels.targets))
    while True:
        estimate = NoiseEstimate(predictions, labels.num_classes, labels.decided)
        noise = estimate.for_rounds()
        flagged = noise.issue_prob > find_f1_threshold(noise.issue_prob)
        rounds.append(_note(number, fits.recipe(number).name, noise, flagged))
        if number == _MAX_ROUNDS or (number and (flagged != before).mean() < _STABLE_SHARE):
            break
        before, number = flagged, number + 1
        del estimate  # a fifth of a kilobyte an image, beside which the next predictions would be made
        recipe, weights = fits.recipe(number), _weights(labels, noise)
        seed, title = fits.round_seed(_SEED_OFFSET + number), f"rule round {number}"
        predictions, models = fits.cross_train(rows, labels.targets_now, weights, recipe, seed=seed, title=title)
    weight = None
    if brought is not None:
        predictions, weight = _pool(labels, predictions, brought)
        fits.progress.say(f"  rule auto  brought predictions count {weight:.0%}")
        estimate = NoiseEstimate(predictions, labels.num_classes, labels.decided, trusted=weight > 0.5)
    found = _conclude(estimate.final(), predictions, labels.decided)
    fits.progress.say(_outcome(found))
    trusted = weight is not None and weight > 0.5
    return replace(found, zero=zero, rounds=rounds, models=models, trusted=trusted, brought_weight=weight)


def judge_predictions(labels: LabelSet, predictions: OutOfFold, progress: Progress) -> IssueEstimate:
    """Estimate the issues of all rows from `predictions` that people brought, alone."""
    found = judge(predictions, labels.num_classes, labels.decided, trusted=True)
    progress.say(_outcome(found))
    return replace(found, rounds=[_note(0, BROUGHT, found.noise, found.flagged)])


def judge(predictions: OutOfFold, num_classes: int, decided: np.ndarray, *, trusted: bool) -> IssueEstimate:
    """Estimate the issues of n rows from finished `predictions` and people's verdicts `decided` (see NoiseEstimate)."""
    noise = NoiseEstimate(predictions, num_classes, decided, trusted=trusted).final()
    return replace(_conclude(noise, predictions, decided), trusted=trusted)


def _conclude(noise: LabelNoise, predictions: OutOfFold, decided: np.ndarray) -> IssueEstimate:
    """Recalibrate the probabilities by people's verdicts and choose the threshold; `zero` is `predictions`."""
    prob = np.where(predictions.given_rank >= 0, noise.issue_prob, np.nan).astype(np.float32)
    reviewed = decided != UNDECIDED  # an image of no class has a wrong label too
    prob = recalibrate(prob, reviewed, decided != predictions.given)
    threshold = find_f1_threshold(prob)
    return IssueEstimate(
        issue_prob=prob,
        flagged=prob > threshold,
        threshold=threshold,
        noise=noise,
        num_reviewed=int(reviewed.sum()),
        zero=predictions,
        last=predictions,
    )


def _outcome(found: IssueEstimate) -> str:
    num = int(found.flagged.sum())
    return f"  rule auto  {num:,} labels are wrong with a probability above {found.threshold:.2f}"


def _pool(labels: LabelSet, ours: OutOfFold, brought: Predicts) -> tuple[OutOfFold, float]:
    """Both predictions as one, and the weight of those brought; T is estimated from the even pool."""
    num_classes = labels.num_classes
    rows, scorable = np.arange(len(ours.given)), np.ones(num_classes, bool)
    wanted = HeldOut(rows, ours.given, scorable, NUM_OTHERS)

    def reduced(pool: Pool) -> OutOfFold:
        pooled = predict_held_out(pool, wanted)
        return replace(pooled, given_rank=np.where(ours.given_rank >= 0, pooled.given_rank, -1).astype(np.int32))

    even = Pool(ours, brought, 0.5)
    noise = NoiseEstimate(reduced(even), num_classes, labels.decided).final()
    pool = weigh_pool(even, noise.transition, labels.decided)
    return reduced(pool), pool.weight


def _weights(labels: LabelSet, noise: LabelNoise) -> np.ndarray:
    """(n,) float32: how much each row counts in training; with a person's label in full."""
    weights = np.where(labels.decided >= 0, 1, 1 - noise.issue_prob)
    return np.where(labels.learns & (labels.decided != NO_CLASS), weights, 0).astype(np.float32)


def _note(number: int, recipe: str, noise: LabelNoise, flagged: np.ndarray) -> dict[str, object]:
    return {
        "round": number,
        "recipe": recipe,
        "flagged": int(flagged.sum()),
        "expected_wrong": round(float(np.nansum(noise.issue_prob)), 1),
        "temperature": round(noise.temperature, 4),
        "instance_dependence": round(noise.dependence.weight, 4),
        "confusion_weight": round(noise.confusion_weight, 4),
    }
