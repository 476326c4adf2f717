"""The models that a run of the noise stage leaves in its folder: they judge other images without a new run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from cleaner.dataset.store import Arrays, write_atomic
from cleaner.modeling.class_evidence import ClassFit, Neighbours
from cleaner.modeling.embeddings import Embeddings
from cleaner.reading import reading
from cleaner.scoring.noise_judge import NoiseJudge, NoiseScorer
from cleaner.stages.noise_features import Eye

FILE = "model.safetensors"
_ABOUT = "about"


@dataclass(frozen=True)
class KeptNoise:
    """How the run saw images, and what it made of that."""

    eye: Eye
    judge: NoiseJudge

    def noise_probs(self, embeddings: Embeddings, rows: pd.DataFrame) -> np.ndarray:
        """Probability of noise (n,) float32 of n manifest `rows` that were not in the run, with their embeddings."""
        return self.judge.judge(*self.eye.see(embeddings, rows))

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
        metadata = {_ABOUT: json.dumps(about)}  # one entry: safetensors writes several in any order
        write_atomic(folder / FILE, save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata))
        return FILE

    @classmethod
    def read(cls, folder: Path) -> KeptNoise | None:
        """What a run has written to `folder`; None if that was an older version."""
        path = folder / FILE
        if not path.exists():
            return None
        with reading(path, "model of noise", "run `cleaner noise --force`"):
            with safe_open(path, framework="numpy") as file:
                about = json.loads((file.metadata() or {}).get(_ABOUT, "null"))
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            return None if about is None else cls._from_tensors(tensors, about)

    @classmethod
    def _from_tensors(cls, tensors: Arrays, about: dict[str, Any]) -> KeptNoise:
        moments, contents = ([tensors[f"{name}_{n}"] for n in range(about["kinds"])] for name in ("moments", "content"))
        fit = ClassFit(np.zeros((0, 2), np.float32), tensors["head"], tensors["fit_moments"])
        neighbours = Neighbours(tensors["neighbours"], tensors["neighbour_labels"])
        first, last = (NoiseScorer.from_arrays(tensors, prefix) for prefix in ("first_", "last_"))
        judge = NoiseJudge(contents, tensors["ranks"], first, last, about["has_seeds"], about["threshold"])
        return cls(Eye(moments, fit, neighbours, tensors["quantiles"], about["classes"]), judge)
