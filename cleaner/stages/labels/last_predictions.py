"""What a run's estimate was made from, kept in its folder: later verdicts are followed without a new run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import msgspec
import numpy as np

from cleaner.dataset.events import Event
from cleaner.dataset.kept_arrays import read_kept, write_kept
from cleaner.reading import reading
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold

FILE = "predictions.safetensors"
_ROUNDING = 1e-3


class _About(TypedDict):
    classes: list[str]
    merged: dict[str, str]
    trusted: bool


@dataclass(frozen=True)
class LastPredictions:
    """Out-of-fold predictions of n images, those that the issue probabilities were estimated from."""

    rows: np.ndarray
    """(n,) int64: the images' rows in the manifest."""
    predictions: OutOfFold
    groups: np.ndarray
    """(n,) int64: duplicates share a number."""
    features: np.ndarray
    """(n, D) float16: what the heads learned from; D is 0 where there are none."""
    classes: list[str]
    merged: dict[str, str]
    """Classes that people had merged into others, by name."""
    trusted: bool
    """Whether people brought the predictions (see `NoiseEstimate`)."""

    def write(self, folder: Path) -> str:
        """Write them; returns the file's name."""
        tensors = self.predictions.arrays() | {
            "row": self.rows,
            "given": self.predictions.given,
            "group": self.groups,
            "features": self.features,
        }
        about = {"classes": self.classes, "merged": self.merged, "trusted": self.trusted}
        write_kept(folder / FILE, tensors, about)
        return FILE

    @classmethod
    def read(cls, folder: Path) -> LastPredictions | None:
        """What a run has written to `folder`; None if that was an older version, or a rule without probabilities.

        Raises BadInputError for a file that no run has written.
        """
        path = folder / FILE
        if not path.exists():
            return None
        with reading(path, "file of predictions", "run `cleaner labels --force`"):
            tensors, about = read_kept(path)
            if about is None:
                return None
            rows, given, groups, features = (tensors.pop(name) for name in ("row", "given", "group", "features"))
            read = cls(rows, OutOfFold.from_arrays(given, tensors), groups, features, **msgspec.convert(about, _About))
            read.check()
            return read

    @cached_property
    def class_numbers(self) -> dict[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.classes)}

    def decided_class(self, event: Event | None) -> int:
        """The class that a verdict gives an image, as the stage would read it; UNDECIDED if it gives none.

        NO_CLASS for a class that the run did not know: the label is wrong, and no class that it knows is right.
        """
        if event is None or event.verdict not in ("label", "noise", "drop"):
            return UNDECIDED
        return self.class_numbers.get(self.merged.get(event.label, event.label), NO_CLASS)

    def check(self) -> None:
        """Raise ValueError where the arrays do not go together, or hold what is no prediction."""
        num, num_classes, found = len(self.rows), len(self.classes), self.predictions
        per_image = (self.rows, self.groups, self.features, found.given, *found.arrays().values())
        if any(len(array) != num for array in per_image) or found.others.shape != found.others_confidence.shape:
            raise ValueError("arrays of different lengths")
        whole = (self.rows, self.groups, found.given, found.given_rank, found.predicted, found.others)
        if any(array.dtype.kind != "i" for array in whole) or (self.rows < 0).any() or (np.diff(self.rows) <= 0).any():
            raise ValueError("numbers of rows or classes that are none")
        if any(((array < -1) | (array >= num_classes)).any() for array in (found.given, found.predicted, found.others)):
            raise ValueError(f"class numbers beyond the {num_classes} classes")
        probs = (found.self_confidence, found.predicted_confidence, found.others_confidence)
        if any(((array < 0) | (array > 1 + _ROUNDING)).any() for array in probs):
            raise ValueError("numbers that are no probabilities")
        if self.features.ndim != 2 or not np.isfinite(self.features).all():
            raise ValueError("features that are not finite")
