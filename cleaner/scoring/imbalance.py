"""Upsampling of small classes, and class priors for logit adjustment."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def compute_target(largest: int, floor: float) -> int:
    """The count up to which every class is repeated: ceil(floor x largest), exact (1/3 is 1/3)."""
    return math.ceil(Fraction(floor).limit_denominator(10_000) * largest)


def compute_repeats(
    targets: np.ndarray, num_classes: int, floor: float, max_repeats: int, rng: np.random.Generator
) -> np.ndarray:
    """Repeats of n images with which each class reaches the floor: (n,) int32, at least 1.

    `targets` (n,) class numbers. Within a class, repeats differ by at most one; random images get the extra one. No
    image gets more than `max_repeats`, even if its class then falls short.
    """
    sizes = np.bincount(targets, minlength=num_classes)
    goal = compute_target(int(sizes.max(initial=0)), floor)
    repeats = np.ones(len(targets), np.int32)
    for k in np.flatnonzero((sizes > 0) & (sizes < goal)):
        rows = np.flatnonzero(targets == k)
        total = min(goal, max_repeats * len(rows))
        repeats[rows] = total // len(rows)
        repeats[rng.choice(rows, total % len(rows), replace=False)] += 1
    return repeats


def compute_priors(counts: np.ndarray) -> np.ndarray:
    """Class priors (K,) float64 from counts (K,): shares that sum to 1."""
    shares: np.ndarray = counts / max(1, counts.sum())
    return shares
