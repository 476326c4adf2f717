"""How probable each label is wrong: cross-training again on rows weighted by the probability that they are right."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.scoring.issue_probability import find_f1_threshold, recalibrate
from cleaner.scoring.label_noise import LabelNoise, NoiseEstimate
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold
from cleaner.stages.labels.fits import LabelSet, StoredFits

_MAX_ROUNDS = 4
_STABLE_SHARE = 0.01
"""The rounds end when a smaller share of the rows changes sides."""
_SEED_OFFSET = 500
"""Keeps the seeds of these rounds apart from those of the passes."""


@dataclass(frozen=True)
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
    """From the cross-training on the labels as given."""
    rounds: list[dict[str, object]] = field(default_factory=list)
    models: list[Arrays] = field(default_factory=list)
    """The last fold models' arrays."""


def estimate_issues(fits: StoredFits, zero: OutOfFold) -> IssueEstimate:
    """Estimate the issues of all rows; `zero`: predictions from the cross-training on the labels as given.

    Each round cross-trains, with the next recipe, on rows weighted by the out-of-fold probability that their label is
    right, and estimates the noise again, until hardly a row changes sides. The last estimate is the calibrated one
    (`NoiseEstimate.final`).
    """
    labels = fits.labels
    predictions = zero
    models: list[Arrays] = []
    estimate = NoiseEstimate(predictions, labels.num_classes, labels.decided)
    noise = estimate.for_rounds()
    flagged = noise.issue_prob > find_f1_threshold(noise.issue_prob)
    rounds = [_note(0, fits.recipe(0).name, noise, flagged)]
    rows = np.arange(len(labels.targets))
    for number in range(1, _MAX_ROUNDS + 1):
        recipe, weights = fits.recipe(number), _weights(labels, noise)
        seed, title = fits.round_seed(_SEED_OFFSET + number), f"rule round {number}"
        predictions, models = fits.cross_train(rows, labels.targets_now, weights, recipe, seed=seed, title=title)
        estimate, before = NoiseEstimate(predictions, labels.num_classes, labels.decided), flagged
        noise = estimate.for_rounds()
        flagged = noise.issue_prob > find_f1_threshold(noise.issue_prob)
        rounds.append(_note(number, recipe.name, noise, flagged))
        if (flagged != before).mean() < _STABLE_SHARE:
            break
    noise = estimate.final()
    prob = np.where(predictions.given_rank >= 0, noise.issue_prob, np.nan).astype(np.float32)
    reviewed = labels.decided != UNDECIDED  # an image of no class has a wrong label too
    prob = recalibrate(prob, reviewed, labels.decided != labels.targets)
    threshold = find_f1_threshold(prob)
    num_flagged = int((prob > threshold).sum())
    fits.progress.say(f"  rule auto  {num_flagged:,} labels are wrong with a probability above {threshold:.2f}")
    return IssueEstimate(prob, prob > threshold, threshold, noise, int(reviewed.sum()), zero, rounds, models)


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
        "follows_confusion": round(noise.follows_confusion, 4),
        "confused": round(noise.confusion_weight, 4),
    }
