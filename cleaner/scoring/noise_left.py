"""How much noise is likely left while a person looks: what the model expects, or what it is shown to miss."""

from __future__ import annotations

import numpy as np

from cleaner.scoring.noise_looks import expected_share_left

NUM_RECENT = 72
"""Looks, three pages of the usual size, by whose finds the model is judged."""


def estimate_share_left(
    noise_prob: np.ndarray,
    is_answered: np.ndarray,
    looked_at: np.ndarray,
    is_noise: np.ndarray,
    is_dropped: np.ndarray,
    threshold: float,
) -> float | None:
    """Share of noise, 0 .. 1, that is likely left among the images that stay; None before `NUM_RECENT` looks.

    `noise_prob` (N,) float, held out for rows that the model learned from; `is_answered` (N,) bool; `looked_at` (n,):
    numbers of rows that were called noise or normal, in the order of their answers; `is_noise` (N,) bool: called noise;
    `is_dropped` (N,) bool: rows that a person or the model, by the `threshold`, takes out.

    The larger of two counts, over the images that stay: the expected noise among those without an answer, and the
    noise among the last looks that the model would have left in. Looks go where noise is likely, so that their yield
    falls as noise runs out: while many of the last ones show noise that the model does not know, at least as many more
    are to be expected, however sure it is (docs/experiments.md, "What is left").
    """
    if len(looked_at) < NUM_RECENT:
        return None
    recent = looked_at[-NUM_RECENT:]
    num_missed = int((is_noise[recent] & (noise_prob[recent] <= threshold)).sum())
    expected = expected_share_left(noise_prob, is_answered, is_dropped)
    return max(expected, num_missed / max(1, int((~is_dropped).sum())))
