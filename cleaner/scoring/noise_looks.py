"""Which images a person should look at next for noise, what is likely left, and what is left at most.

A page asks likely noise first, then pictures that tell the model most, and a few at random: only these say what is left
without trust in a model. Method: docs/methods.md, "Looks".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleaner.scoring.confidence_sequence import ConfidenceSequence
from cleaner.scoring.noise_model import FEWEST_OF_A_KIND, Features, NoiseEstimate, NoiseModel, NoiseSeeds, Sight
from cleaner.scoring.unit_rows import unit_rows

LIKELY, TELLING, RANDOM = "likely", "telling", "random"
RANDOM_BLOCK = 10
"""Random looks are drawn in blocks of this many; a block is drawn when all of the one before is answered."""
_RANDOM_SHARE = 0.2
_TELLING_SHARE = 0.1
_CANDIDATES = 4
"""Telling pictures are picked, unlike one another, from this many times as many."""


@dataclass(frozen=True)
class Looks:
    """Images to look at next, likely noise first."""

    rows: np.ndarray
    """(n,) int64 row numbers."""
    reasons: np.ndarray
    """(n,) object: likely, telling or random."""


@dataclass(frozen=True)
class RandomLooks:
    """What the random looks say so far."""

    open_rows: np.ndarray
    """(n,) int64: rows of the current block that are not answered, in the order in which they are to be asked."""
    num_looks: int
    """Random looks that count."""
    upper_left: int
    """With 95 % confidence at all times, the most noise images among the rows without an answer."""


def random_order(image_ids: Sequence[str], seed: int) -> np.ndarray:
    """A random order of the rows (N,) int64 that depends on nothing but `seed` and each image's own id."""
    keys = [hashlib.sha256(f"{seed}:{i}".encode()).digest() for i in image_ids]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def replay_random_looks(order: np.ndarray, answered: np.ndarray, is_noise: np.ndarray) -> RandomLooks:
    """What the random looks say, from `order` (N,), rows `answered` (n,) in the order of their first answers, and
    `is_noise` (N,) bool, which counts where a row is answered; an unsure answer has to count as noise for a safe bound.

    A block is the next `RANDOM_BLOCK` rows of the order that had no answer when the block before was answered whole: a
    uniform sample of the rows then left, whichever pictures were picked, and answered first, elsewhere. Its rows count
    in their order, up to the first without an answer: what a person leaves out or puts off cannot bend the bound.
    """
    sequence = ConfidenceSequence(len(order))
    time = np.full(len(order), len(answered), np.int64)
    time[answered] = np.arange(len(answered))
    is_known = np.zeros(len(order), bool)
    now = num_looks = 0  # `now` answers had been given when the current block was drawn
    while True:
        _reveal(sequence, is_known, (time < now) & (time < len(answered)), is_noise)
        free = order[~is_known[order]]
        block = free[:RANDOM_BLOCK]
        is_open = time[block] == len(answered)
        num_counted = int(np.argmax(is_open)) if is_open.any() else len(block)
        for row in block[:num_counted]:
            sequence.draw(bool(is_noise[row]))
        is_known[block[:num_counted]] = True
        num_looks += num_counted
        if is_open.any() or not len(block):
            break
        now = max(now, int(time[block].max()) + 1)
    _reveal(sequence, is_known, time < len(answered), is_noise)
    return RandomLooks(block[is_open], num_looks, sequence.upper_left)


def _reveal(sequence: ConfidenceSequence, is_known: np.ndarray, rows: np.ndarray, is_noise: np.ndarray) -> None:
    new = rows & ~is_known
    sequence.reveal(int(new.sum()), int((new & is_noise).sum()))
    is_known |= new


def estimate_noise(sight: Sight, seeds: NoiseSeeds) -> NoiseEstimate:
    """The noise model after one fit to all answers so far, for a page of looks; by default weights while they are few.

    `seeds` hold the answers: unsure ones and images dropped for another reason are none.
    """
    model = NoiseModel(sight, seeds)
    has_seeds = min(seeds.is_noise.sum(), (seeds.is_seed & ~seeds.is_noise).sum()) >= FEWEST_OF_A_KIND
    return model.by_answers() if has_seeds else model.by_default()


def choose_looks(
    noise_prob: np.ndarray,
    is_answered: np.ndarray,
    random_rows: np.ndarray,
    num: int,
    features: Features | None = None,
) -> Looks:
    """The next `num` rows to ask a person about, fewer where fewer are left.

    `noise_prob` (N,) 0 .. 1, `is_answered` (N,) bool; `random_rows` (n,): the open rows of `replay_random_looks`, of
    which a fifth of the page is taken. `features` tell which pictures are alike; without them the telling ones are
    those with probabilities nearest to 0.5.
    """
    num_random = min(len(random_rows), max(1, round(num * _RANDOM_SHARE)))
    at_random = random_rows[:num_random]
    is_free = ~is_answered
    is_free[at_random] = False
    free = np.flatnonzero(is_free)
    num_rest = min(num - num_random, len(free))
    num_telling = round(num_rest * _TELLING_SHARE)
    by_prob = free[np.argsort(-noise_prob[free], kind="stable")]
    likely, rest = by_prob[: num_rest - num_telling], by_prob[num_rest - num_telling :]
    doubtful = rest[np.argsort(np.abs(noise_prob[rest] - 0.5), kind="stable")][: _CANDIDATES * num_telling]
    telling = doubtful[:num_telling] if features is None else _unlike(features(doubtful), doubtful, num_telling)
    rows = np.concatenate([likely, telling, at_random]).astype(np.int64)
    sizes = [len(likely), len(telling), len(at_random)]
    return Looks(rows, np.repeat(np.array([LIKELY, TELLING, RANDOM], object), sizes))


def _unlike(x: np.ndarray, rows: np.ndarray, num: int) -> np.ndarray:
    """`num` of `rows` (n,), the first and then always the one least like those taken; `x` (n, D) their features."""
    if num >= len(rows):
        return rows
    unit = unit_rows(x)
    taken, nearest = [0], np.full(len(rows), -np.inf)
    while len(taken) < num:
        nearest = np.maximum(nearest, unit @ unit[taken[-1]])
        nearest[taken] = np.inf
        taken.append(int(nearest.argmin()))
    return rows[taken]


def expected_share_left(noise_prob: np.ndarray, is_answered: np.ndarray, is_dropped: np.ndarray) -> float:
    """Share of noise, 0 .. 1, that is likely left among the images that stay: unanswered ones count their probability.

    `noise_prob` (N,), `is_answered` (N,) bool, `is_dropped` (N,) bool: rows that a person or the model takes out.
    """
    stays = ~is_dropped
    return float(noise_prob[stays & ~is_answered].sum() / max(1, stays.sum()))
