"""The learning rate over the course of a training, the same for every learner that takes steps."""

from __future__ import annotations

import math


def learning_rate_share(progress: float, *, warmup: float, floor: float) -> float:
    """Share of the peak learning rate, `floor` .. 1, at `progress` 0 .. 1: one cycle that starts and ends at `floor`.

    It rises linearly over the share `warmup` of the steps and falls by half a cosine (Loshchilov & Hutter 2017). With
    a floor it never comes near 0, since steps of a finite size act as a penalty on the gradient (recipe.md, section 4;
    Smith et al. 2021).
    """
    if progress < warmup:
        height = progress / warmup
    else:
        height = 0.5 * (1 + math.cos(math.pi * (progress - warmup) / max(1 - warmup, 1e-9)))
    return floor + (1 - floor) * height
