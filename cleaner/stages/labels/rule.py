"""The rule `auto`: how probable is each label to be wrong, by cross-training again on rows weighted by their trust."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.modeling.crossval import Judgement
from cleaner.modeling.learner import Learner
from cleaner.progress import Progress
from cleaner.scoring.label_noise import Candidates, LabelNoise, NoiseEstimate, find_f1_threshold, recalibrate
from cleaner.stages.labels.passes import LabelSet, cross_train_stored, targets_now

_MAX_ROUNDS = 4
_SETTLED = 0.01
"""The rounds end when fewer rows than this share change sides."""


@dataclass(frozen=True)
class Doubts:
    """What the rule says of n rows."""

    issue_prob: np.ndarray
    """(n,) float32: probability that the given label is wrong; NaN where it cannot be scored."""
    flagged: np.ndarray
    """(n,) bool: it is above the threshold."""
    threshold: float
    noise: LabelNoise
    num_reviewed: int
    """People's verdicts that the probabilities were recalibrated by."""
    zero: Judgement
    """The cross-training on the labels as given."""
    rounds: list[dict[str, object]] = field(default_factory=list)
    models: list[Arrays] = field(default_factory=list)
    """The last fold models' arrays."""


def run_rule(
    labels: LabelSet, learner: Learner, zero: Judgement, *, seed: int, store: ArrayStore, progress: Progress
) -> Doubts:
    """Judge all rows: `zero` is the cross-training on the labels as given.

    Each round cross-trains on rows weighted by the probability that their label is right, out of fold, with the next
    recipe, and estimates the noise anew, until hardly a row changes sides. The last estimate is made honest
    (`NoiseEstimate.final`). Every fit is stored.
    """
    judgement = zero
    models: list[Arrays] = []
    estimate = _estimate(labels, judgement)
    noise = estimate.for_rounds()
    flagged = noise.issue_prob > find_f1_threshold(noise.issue_prob)
    rounds = [_note(0, learner.recipes[0].name, noise, flagged)]
    rows = np.arange(len(labels.targets))
    for number in range(1, _MAX_ROUNDS + 1):
        recipe = learner.recipes[number % len(learner.recipes)]
        judgement, models = cross_train_stored(
            labels, learner, rows, _trust(labels, noise), recipe,
            targets=targets_now(labels), title=f"rule round {number}", seed=seed * 1009 + 500 + number,
            store=store, progress=progress,
        )  # fmt: skip
        estimate, before = _estimate(labels, judgement), flagged
        noise = estimate.for_rounds()
        flagged = noise.issue_prob > find_f1_threshold(noise.issue_prob)
        rounds.append(_note(number, recipe.name, noise, flagged))
        if (flagged != before).mean() < _SETTLED:
            break
    noise = estimate.final()
    prob = np.where(judgement.given_rank >= 0, noise.issue_prob, np.nan).astype(np.float32)
    reviewed = labels.decided != -1  # who throws an image out says of its label that it does not fit
    prob = recalibrate(prob, reviewed, labels.decided != labels.targets)
    threshold = find_f1_threshold(prob)
    num_flagged = int((prob > threshold).sum())
    progress.say(f"  rule auto  {num_flagged:,} labels are wrong with a probability above {threshold:.2f}")
    return Doubts(prob, prob > threshold, threshold, noise, int(reviewed.sum()), zero, rounds, models)


def candidates_of(targets: np.ndarray, judgement: Judgement) -> Candidates:
    """What a judgement of n rows says of them under their class numbers `targets` (n,)."""
    classes = np.concatenate([targets[:, None], judgement.others.astype(np.int64)], 1)
    own = np.nan_to_num(judgement.self_confidence)[:, None]
    return Candidates(classes, np.concatenate([own, judgement.others_confidence], 1))


def _estimate(labels: LabelSet, judgement: Judgement) -> NoiseEstimate:
    return NoiseEstimate(candidates_of(labels.targets, judgement), labels.num_classes, labels.decided)


def _trust(labels: LabelSet, noise: LabelNoise) -> np.ndarray:
    """(n,) float32: how much each row counts in training; a person's word counts in full."""
    trust = np.where(labels.decided >= 0, 1, 1 - noise.issue_prob)
    return np.where(labels.learns & (labels.decided >= -1), trust, 0).astype(np.float32)


def _note(number: int, recipe: str, noise: LabelNoise, flagged: np.ndarray) -> dict[str, object]:
    return {
        "round": number,
        "recipe": recipe,
        "flagged": int(flagged.sum()),
        "expected_wrong": round(float(np.nansum(noise.issue_prob)), 1),
        "temperature": round(noise.temperature, 4),
        "follows_confusion": round(noise.follows_confusion, 4),
        "confused": round(noise.confused, 4),
    }
