"""Linear heads that a run left in its folder, applied to images that they never saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from cleaner.dataset.store import Arrays
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import standardise

_CHUNK_ROWS = 2048


@dataclass(frozen=True)
class KeptHeads:
    """The F fold models of a run, as `LinearHead.state` gives them, over the embeddings of other images."""

    states: Sequence[Arrays]
    embeddings: Embeddings
    fold: np.ndarray
    """(n,) int64: of a copy of a known image, that image's fold, whose model alone never saw it; else -1."""

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See `Predicts.predict`: the mean over the views and over the models that did not see the image."""
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = slice(start, min(start + _CHUNK_ROWS, len(rows)))
            mine = rows[part]
            each = torch.stack([self._predict_one(state, mine) for state in self.states])  # (F, B, K)
            own = torch.from_numpy(self.fold[mine])
            folds = torch.arange(len(self.states))[:, None]
            counts = ((own < 0) | (own >= len(self.states)) | (folds == own)).float()
            probs = (each * counts[:, :, None]).sum(0) / counts.sum(0)[:, None]
            yield part, probs.numpy()

    def _predict_one(self, state: Arrays, rows: np.ndarray) -> torch.Tensor:
        weight, bias, mean, std = (torch.from_numpy(state[name]) for name in ("weight", "bias", "mean", "std"))
        views = [
            functional.linear(standardise(view[rows], mean, std), weight, bias).softmax(-1)
            for view in self.embeddings.views
        ]
        return torch.stack(views).mean(0)
