"""Rounds of the noise stage: a model learns from seeds, then from its own finds too, as long as that does not hurt.

Method and sources: docs/methods.md, "Noise images".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from scipy.special import expit, logit

from cleaner.scoring.noise_model import FEWEST_OF_A_KIND, NoiseEstimate, NoiseSeeds, say_nothing

_NORMALS_PER_FIND = 4
"""For each find as many images that the last round called normal, so that finds do not outgrow the normal seeds."""
_SURELY_NORMAL = 0.1
_ANCHOR, _COLD_ANCHOR = 0.5, 0.2
"""Nothing is taken as noise that the seeds alone, or without seeds the default weights, do not make probable."""
_TINY = 1e-9
MAX_TRAINING_ROWS = 400


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
    explain: Callable[[np.ndarray], np.ndarray] = say_nothing
    """`NoiseEstimate.explain` of the last round that was taken."""
    estimates: tuple[NoiseEstimate, ...] = ()
    """Of the first round and of the last that was taken; none without a round."""
    has_seeds: bool = False
    """Whether seeds made the first round."""


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

    `countable` (N,) bool: rows in which noise may be found. A found image takes part with a held-out score, and leaves
    when that falls to the threshold or below. Rounds that feed on their own finds would drift: what the first round,
    which learns from seeds alone, does not call probable stays doubtful at most, a later round counts as much as the
    first (the mean of their log odds), and one that tells the seeds apart worse is not taken. With too few seeds of a
    kind the default weights make the first round.
    """
    has_seeds = min(seeds.is_noise.sum(), (seeds.is_seed & ~seeds.is_noise).sum()) >= FEWEST_OF_A_KIND
    lottery = rng.permutation(len(countable))
    found = np.zeros(len(countable), bool)
    rounds: list[NoiseRound] = []
    result = NoiseResult(rounds)
    first = estimate = model.learn(seeds.is_noise, seeds.is_seed & ~seeds.is_noise) if has_seeds else model.by_default()
    for number in range(1, max_rounds + 1):
        if number > 1:
            positive, negative = _training_set(seeds, rounds[-1], countable, lottery)
            if min(positive.sum(), negative.sum()) < FEWEST_OF_A_KIND:
                return replace(result, stopped="stable")
            estimate = model.learn(positive, negative)
            if estimate.seed_loss > first.seed_loss:
                return replace(result, stopped="worse")
        probs = settle(first.noise_prob, estimate.noise_prob, has_seeds, threshold)
        now = (probs > threshold) & countable & ~seeds.is_seed
        cycle = next((i for i, r in enumerate(rounds[:-1]) if np.array_equal(now, r.found)), None)
        if cycle is not None:  # it goes round in circles: only what each of these rounds found is sure
            sure = np.logical_and.reduce([r.found for r in rounds[cycle:]])
            probs, now = _at_most(threshold, probs, now & ~sure), sure
        num_new, num_left = int((now & ~found).sum()), int((found & ~now).sum())
        rounds.append(NoiseRound(number, probs, now, num_new, num_left, estimate.share))
        result = NoiseResult(rounds, "max_rounds", estimate.explain, (first, estimate), bool(has_seeds))
        on_round(rounds[-1])
        if cycle is not None:
            return replace(result, stopped="repeats")
        if np.array_equal(now, found):
            return replace(result, stopped="stable")
        found = now
    return result


def settle(first: np.ndarray, later: np.ndarray, has_seeds: bool, threshold: float) -> np.ndarray:
    """Probabilities (N,) float32 from those of the first and of a later round, anchored by the first."""
    probs = _between(first, later) if has_seeds else later
    return _at_most(threshold, probs, first < (_ANCHOR if has_seeds else _COLD_ANCHOR))


def _between(first: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Probabilities (N,) float32 with the mean log odds of both."""
    odds = [logit(np.clip(p.astype(np.float64), _TINY, 1 - _TINY)) for p in (first, later)]
    middle: np.ndarray = expit((odds[0] + odds[1]) / 2).astype(np.float32)
    return middle


def _at_most(threshold: float, probs: np.ndarray, where: np.ndarray) -> np.ndarray:
    limited: np.ndarray = np.where(where, np.minimum(probs, np.float32(threshold)), probs)
    return limited


def _training_set(
    seeds: NoiseSeeds, last: NoiseRound, countable: np.ndarray, lottery: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N,) bool that are learned from as noise and as normal: seeds, finds, and normal images beside the finds."""
    positive, negative = seeds.is_noise | last.found, seeds.is_seed & ~seeds.is_noise
    pool = np.flatnonzero((last.noise_prob < _SURELY_NORMAL) & countable & ~seeds.is_seed)
    num = min(_NORMALS_PER_FIND * int(last.found.sum()), MAX_TRAINING_ROWS)
    negative[pool[np.argsort(lottery[pool], kind="stable")[:num]]] = True
    if positive.sum() > MAX_TRAINING_ROWS:
        rows = np.flatnonzero(positive & ~seeds.is_seed)
        positive[rows[np.argsort(lottery[rows], kind="stable")[MAX_TRAINING_ROWS:]]] = False
    return positive, negative
