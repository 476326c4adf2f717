"""Rounds of the noise stage: a model learns from seeds, then from its own finds too, as long as that does not hurt.

Method and sources: docs/methods.md, "Noise images".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cleaner.scoring.noise_model import FEWEST_OF_A_KIND, NoiseEstimate, NoiseSeeds

_NORMALS_PER_FIND = 15
"""For each find as many images that the last round called normal, so that finds do not outgrow the normal seeds."""
_SURELY_NORMAL = 0.1
_ANCHOR = 0.5
"""Nothing is taken as noise that the seeds alone do not make probable."""
_MAX_TRAINING_ROWS = 10_000


class Estimates(Protocol):
    """Where a round gets its probabilities; see `NoiseModel`."""

    def by_default(self) -> NoiseEstimate:
        """The estimate without learning."""

    def learn(self, positive: np.ndarray, negative: np.ndarray) -> NoiseEstimate:
        """The estimate of a model that learned rows (N,) bool as noise and as normal."""


@dataclass(frozen=True)
class NoiseRound:
    """What one round found."""

    number: int
    noise_prob: np.ndarray
    """(N,) float32."""
    found: np.ndarray
    """(N,) bool: taken as noise by the model in this round."""
    num_new: int
    num_left: int
    prior: float
    """Estimated share of noise images over all countable rows, 0 .. 1."""


@dataclass(frozen=True)
class NoiseResult:
    """All rounds and why they ended."""

    rounds: list[NoiseRound] = field(default_factory=list)
    stopped: str = ""
    """stable, repeats, worse or max_rounds."""


def run_rounds(
    model: Estimates,
    seeds: NoiseSeeds,
    countable: np.ndarray,
    *,
    threshold: float,
    max_rounds: int,
    rng: np.random.Generator,
    on_round: Callable[[NoiseRound], None],
) -> NoiseResult:
    """Learn, score all rows, take what is above `threshold`, and again until the found set repeats.

    `countable` (N,) bool: rows in which noise may be found. A found image takes part with an out-of-fold score, and
    leaves when that falls to the threshold or below. What the first round, which learns from seeds alone, does not call
    probable stays doubtful at most, and a round that tells the seeds apart worse than the first is not taken: rounds
    that feed on their own finds would drift. With too few seeds of a kind the default weights make the first round.
    """
    has_seeds = min(seeds.is_noise.sum(), (seeds.is_seed & ~seeds.is_noise).sum()) >= FEWEST_OF_A_KIND
    lottery = rng.permutation(len(countable))
    found = np.zeros(len(countable), bool)
    rounds: list[NoiseRound] = []
    first = estimate = model.learn(seeds.is_noise, seeds.is_seed & ~seeds.is_noise) if has_seeds else model.by_default()
    for number in range(1, max_rounds + 1):
        if number > 1:
            positive, negative = _training_set(seeds, rounds[-1], countable, lottery)
            if min(positive.sum(), negative.sum()) < FEWEST_OF_A_KIND:
                return NoiseResult(rounds, "stable")
            estimate = model.learn(positive, negative)
            if estimate.seed_loss > first.seed_loss:
                return NoiseResult(rounds, "worse")
        probs = estimate.noise_prob
        if has_seeds:
            probs = _at_most(threshold, probs, first.noise_prob < _ANCHOR)
        now = (probs > threshold) & countable & ~seeds.is_seed
        cycle = next((i for i, r in enumerate(rounds[:-1]) if np.array_equal(now, r.found)), None)
        if cycle is not None:  # it goes round in circles: only what each of these rounds found is sure
            sure = np.logical_and.reduce([r.found for r in rounds[cycle:]])
            probs, now = _at_most(threshold, probs, now & ~sure), sure
        num_new, num_left = int((now & ~found).sum()), int((found & ~now).sum())
        rounds.append(NoiseRound(number, probs, now, num_new, num_left, estimate.share))
        on_round(rounds[-1])
        if cycle is not None:
            return NoiseResult(rounds, "repeats")
        if np.array_equal(now, found):
            return NoiseResult(rounds, "stable")
        found = now
    return NoiseResult(rounds, "max_rounds")


def _at_most(threshold: float, probs: np.ndarray, where: np.ndarray) -> np.ndarray:
    limited: np.ndarray = np.where(where, np.minimum(probs, np.float32(threshold)), probs)
    return limited


def _training_set(
    seeds: NoiseSeeds, last: NoiseRound, countable: np.ndarray, lottery: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N,) bool that are learned from as noise and as normal: seeds, finds, and normal images beside the finds."""
    positive, negative = seeds.is_noise | last.found, seeds.is_seed & ~seeds.is_noise
    pool = np.flatnonzero((last.noise_prob < _SURELY_NORMAL) & countable & ~seeds.is_seed)
    num = min(_NORMALS_PER_FIND * int(last.found.sum()), _MAX_TRAINING_ROWS)
    negative[pool[np.argsort(lottery[pool], kind="stable")[:num]]] = True
    if positive.sum() > _MAX_TRAINING_ROWS:
        rows = np.flatnonzero(positive & ~seeds.is_seed)
        positive[rows[np.argsort(lottery[rows], kind="stable")[_MAX_TRAINING_ROWS:]]] = False
    return positive, negative
