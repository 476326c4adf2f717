"""Every random stream of the program in one table, so that no two draws of a run share a generator by accident.

A generator is seeded with the run's seed and the number of its stream. The numbers are part of the results: to change
one changes every manifest or model that its stream feeds.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a generator is for. Streams that share a number belong to different commands."""

    NOISE_EVIDENCE_FOLDS = 0
    NOISE_ROUNDS = 1
    LABEL_FOLDS = 3
    SMALL_CLASSES = 4
    REPEATS = 5

    TRAINING_ORDER = 1
    """One generator for each epoch, whose number follows."""
    AUGMENTATION = 2
    """One generator for each image of a step; the numbers of both follow."""
    MIXING = 3
    """One generator for each step, as of DROPOUT."""
    DROPOUT = 4
    NORM_HEALTH = 6

    BOOTSTRAP = 6
    """Of the differences that `verify` finds."""
    VERIFY_SLOTS = 7
    CONTACT_SHEET = 7


def open_stream(seed: int, stream: Stream, *parts: int) -> np.random.Generator:
    """A new generator for `stream` in a run with `seed`; `parts` number the generators of a stream that has many."""
    return np.random.default_rng([seed, stream, *parts])
