"""Batches of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cleaner.modeling.batches import Sample
from tests.support.networks import NUM, QUICK, trainer


def test_repeats_are_shown_that_often_in_each_epoch(sample: Sample) -> None:
    repeats = np.ones(NUM, np.int64)
    repeats[:4], repeats[4:12] = 3, 0
    this = trainer(replace(sample, repeats=repeats), replace(QUICK, batch_size=NUM))
    _, positions = this.batches.prepare(0)
    assert np.array_equal(np.bincount(positions.numpy(), minlength=NUM), repeats)
