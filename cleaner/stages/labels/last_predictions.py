"""What a run's estimate was made from, kept in its folder: later verdicts are followed without a new run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from cleaner.dataset.store import write_atomic
from cleaner.scoring.out_of_fold import OutOfFold

FILE = "predictions.safetensors"
_ABOUT = "about"


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
        metadata = {_ABOUT: json.dumps(about)}  # one entry: safetensors writes several in any order
        data = save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)
        write_atomic(folder / FILE, data)
        return FILE

    @classmethod
    def read(cls, folder: Path) -> LastPredictions | None:
        """What a run has written to `folder`; None if that was an older version, or a rule without probabilities."""
        try:
            with safe_open(folder / FILE, framework="numpy") as file:
                about = json.loads(file.metadata().get(_ABOUT, "null"))
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (FileNotFoundError, SafetensorError):
            return None
        if about is None:
            return None
        rows, given, groups, features = (tensors.pop(name) for name in ("row", "given", "group", "features"))
        return cls(rows, OutOfFold.from_arrays(given, tensors), groups, features, **about)
