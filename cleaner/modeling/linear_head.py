"""A linear softmax head on embeddings, however it was fitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from cleaner.dataset.store import Arrays
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import HeadFeatures, KeptFeatures

_CHUNK_VALUES = 200_000
_CHUNK_ROWS = 2048
"""Rows predicted at once: the first / classes, but at most the second."""


@dataclass(frozen=True)
class LinearHead:
    """A fitted linear head."""

    features: HeadFeatures | KeptFeatures
    weight: torch.Tensor  # (K, dim)
    bias: torch.Tensor  # (K,)

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predictor.predict; the mean over the views."""
        size = min(max(1, _CHUNK_VALUES // max(1, len(self.bias))), _CHUNK_ROWS)
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            first, *more = (
                functional.linear(self.features(v, rows[part]), self.weight, self.bias).softmax(-1)
                for v in self.features.views
            )
            for other in more:
                first += other
            yield part, first.div_(1 + len(more)).numpy()

    def state(self) -> Arrays:
        """See Predictor.state: `weight` (K, D), `bias` (K,), and the `mean` and `std` (D,) that features take."""
        assert isinstance(self.features, HeadFeatures), "features of another process do not know their channels"
        weight = self.features.channel_weights(self.weight)
        tensors = {"weight": weight, "bias": self.bias, "mean": self.features.mean, "std": self.features.std}
        return {name: tensor.numpy() for name, tensor in tensors.items()}


def card_of_heads(embeddings: Embeddings) -> dict[str, Any]:
    """`Learner.card` of a linear head on these embeddings."""
    return {
        "learner": "probe",
        "input": "(sign(e) * sqrt(|e|) - mean) / std of an embedding e",
        "backbone": embeddings.origin.backbones[0] if embeddings.origin.backbones else {},
        "backbones": list(embeddings.origin.backbones),
    }
