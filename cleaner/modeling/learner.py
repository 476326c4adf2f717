"""The seam between the rounds and what is trained in them: a Learner fits, a Predictor yields in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cleaner.dataset.store import Arrays

NEVER = -1e4
"""Bias of a class without training rows: its probability is 0."""


@dataclass(frozen=True)
class Recipe:
    """One optimisation setting and augmentation; the rounds rotate through several."""

    name: str
    view: str
    """Which cached view is trained on: plain, mirrored, or either of them, drawn anew for each row and batch."""
    learning_rate: float
    weight_decay: float
    mixup: float
    """Parameter of the Beta distribution that mixes pairs of embeddings (Zhang et al. 2018); 0: no mixing."""
    epochs: int


PROBE_RECIPES = (
    Recipe("either-mixup-gentle", "either", 1.3e-3, 1e-1, 0.4, 6),
    Recipe("mirrored-mixup", "mirrored", 3.5e-3, 1e-1, 0.4, 6),
    Recipe("either-more-mixup", "either", 3.5e-3, 1e-1, 0.8, 6),
    Recipe("plain-mixup-decay", "plain", 5e-3, 1.0, 0.4, 5),
    Recipe("either-brief", "either", 5e-3, 1e-1, 0.4, 4),
    Recipe("mirrored", "mirrored", 3.5e-3, 1e-1, 0.0, 5),
)
"""Rotation of the probe's recipes: consecutive ones differ in view and in optimisation or augmentation.

Few steps, and the first recipe with small ones: a head that learns longer learns the wrong labels too, and those of
round 0 have not been looked at yet (docs/experiments.md)."""


class Predicts(Protocol):
    """Anything that has class probabilities for images."""

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Class probabilities of images given by row number, in chunks.

        Yields (slice into `rows`, (B, K) float32, rows sum to 1).
        """


class Predictor(Predicts, Protocol):
    """A fitted model."""

    def state(self) -> Arrays:
        """All of the model's arrays by name, as its checkpoint holds them."""


class Learner(Protocol):
    """Trains classifiers on the images it was built over."""

    @property
    def recipes(self) -> Sequence[Recipe]:
        """What the rounds rotate through; the first one is that of round 0."""

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        sample_weights: np.ndarray,
        log_prior: np.ndarray,
        recipe: Recipe,
        seed: int,
        checkpoint_dir: Path | None = None,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> list[Predictor]:
        """Fit M models in one pass over the data.

        `rows` (n,) int64 row numbers; `targets` (n,) int64 class numbers in 0 .. K-1; `sample_weights` (M, n)
        float32 >= 0, 0 leaves a row out of a model; `log_prior` (M, K) float32, added to the logits in training
        and left out in prediction (logit adjustment, Menon et al. 2021); `on_epoch` is called after each epoch.
        """
