"""The batches of a training: which examples each step shows, augmented by threads ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from cleaner.modeling.augment import augment
from cleaner.modeling.group import Group
from cleaner.modeling.pixels import Pixels
from cleaner.modeling.recipes import FinetuneRecipe
from cleaner.random_streams import Stream, open_stream

_BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Sample:
    """The training examples: n rows of pixels."""

    pixels: Pixels
    rows: np.ndarray
    """(n,) int64 row numbers in `pixels`."""
    targets: np.ndarray
    """(n,) int64 class numbers."""
    weights: np.ndarray
    """(n,) float32 > 0."""
    repeats: np.ndarray
    """(n,) int64: how often an epoch shows each row."""


def count_steps(num_shown: int, recipe: FinetuneRecipe) -> int:
    """Steps of a whole training whose epochs show `num_shown` images each; an epoch drops its last partial batch."""
    return recipe.epochs * (num_shown // min(recipe.batch_size, num_shown))


class Batches:
    """All batches of a training, by step; each has its own random generators, so a training can resume at any step."""

    def __init__(self, sample: Sample, recipe: FinetuneRecipe, group: Group, seed: int) -> None:
        self._sample, self._recipe, self._group, self._seed = sample, recipe, group, seed
        self.shown = np.repeat(np.arange(len(sample.rows)), sample.repeats)
        """(m,) int64: the positions in the sample that each epoch shows."""
        self.size = min(recipe.batch_size, len(self.shown))
        self.num_steps = count_steps(len(self.shown), recipe)
        self.steps_per_epoch = self.num_steps // recipe.epochs

    def load(self, first_step: int, workers: int) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """What `prepare` returns for each step from the first on; `workers` threads prepare it ahead of time."""
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="augment") as pool:
            last = min(first_step + _BATCHES_AHEAD, self.num_steps)
            ahead = deque(pool.submit(self.prepare, step) for step in range(first_step, last))
            try:
                for step in range(first_step, self.num_steps):
                    batch = ahead.popleft().result()
                    if step + _BATCHES_AHEAD < self.num_steps:
                        ahead.append(pool.submit(self.prepare, step + _BATCHES_AHEAD))
                    yield batch
            finally:
                for future in ahead:
                    future.cancel()

    def prepare(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented pixels (b, 3, H, W) uint8 of this worker's part of a step, and positions (b,) in the sample."""
        epoch, number = divmod(step, self.steps_per_epoch)
        order = open_stream(self._seed, Stream.TRAINING_ORDER, epoch).permutation(self.shown)
        places, _ = self._group.part(self.size)
        positions = order[number * self.size + places]
        images = torch.from_numpy(self._sample.pixels.take(self._sample.rows[positions])).permute(0, 3, 1, 2)
        rngs = [open_stream(self._seed, Stream.AUGMENTATION, step, int(i)) for i in places]
        augmented = [augment(image, self._recipe.augment, rng) for image, rng in zip(images, rngs, strict=True)]
        return torch.stack(augmented), torch.from_numpy(positions)
