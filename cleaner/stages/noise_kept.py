"""The models that a run of the noise stage leaves in its folder: they judge other images without a new run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleaner.dataset.kept_arrays import read_kept, write_kept
from cleaner.dataset.store import Arrays
from cleaner.modeling.class_evidence import ClassFit, Neighbours
from cleaner.modeling.embeddings import Embeddings
from cleaner.reading import reading
from cleaner.scoring.noise_judge import NoiseJudge, NoiseScorer
from cleaner.stages.noise_features import Eye

FILE = "model.safetensors"
_CHUNK_ROWS = 2048


@dataclass(frozen=True)
class KeptNoise:
    """How the run saw images, and what it made of that."""

    eye: Eye
    judge: NoiseJudge

    def noise_probs(self, embeddings: Embeddings, rows: pd.DataFrame) -> np.ndarray:
        """Probability of noise (n,) float32 of n manifest `rows` that were not in the run, with their embeddings."""
        probs = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            probs[part] = self.judge.judge(*self.eye.see(embeddings, rows, part))
        return probs

    def write(self, folder: Path) -> str:
        """Write it; returns the file's name."""
        eye, judge = self.eye, self.judge
        tensors = {
            "head": eye.fit.head,
            "fit_moments": eye.fit.moments,
            "neighbours": eye.neighbours.directions,
            "neighbour_labels": eye.neighbours.labels,
            "quantiles": eye.quantiles,
            "ranks": judge.ranks,
            **judge.first.arrays("first_"),
            **judge.last.arrays("last_"),
        }
        for number, (moments, content) in enumerate(zip(eye.moments, judge.contents, strict=True)):
            tensors |= {f"moments_{number}": moments, f"content_{number}": content}
        about = {
            "classes": eye.classes,
            "kinds": len(eye.moments),
            "has_seeds": judge.has_seeds,
            "threshold": judge.threshold,
        }
        write_kept(folder / FILE, tensors, about)
        return FILE

    @classmethod
    def read(cls, folder: Path) -> KeptNoise | None:
        """What a run has written to `folder`; None if that was an older version."""
        path = folder / FILE
        if not path.exists():
            return None
        with reading(path, "model of noise", "run `cleaner noise --force`"):
            tensors, about = read_kept(path)
            return None if about is None else cls._from_tensors(tensors, about)

    @classmethod
    def _from_tensors(cls, tensors: Arrays, about: dict[str, Any]) -> KeptNoise:
        moments, contents = ([tensors[f"{name}_{n}"] for n in range(about["kinds"])] for name in ("moments", "content"))
        fit = ClassFit(np.zeros((0, 2), np.float32), tensors["head"], tensors["fit_moments"])
        neighbours = Neighbours(tensors["neighbours"], tensors["neighbour_labels"])
        first, last = (NoiseScorer.from_arrays(tensors, prefix) for prefix in ("first_", "last_"))
        judge = NoiseJudge(contents, tensors["ranks"], first, last, about["has_seeds"], about["threshold"])
        return cls(Eye(moments, fit, neighbours, tensors["quantiles"], about["classes"]), judge)
