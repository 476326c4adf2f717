"""`labels` with whole networks that are tiny: what it is given and what it writes."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from cleaner.config import EmbeddingSettings

TINY, SIDE, FOLDS = "test_efficientnet", 32, 3
OUTPUTS = ("manifest.parquet", "rounds.parquet", *(f"models/fold_{k}.safetensors" for k in range(FOLDS)))


def make_embedding(folder: Path) -> EmbeddingSettings:
    """A tiny network with random weights, from a file in `folder`."""
    path = folder / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(timm.create_model(TINY, pretrained=False).state_dict(), path)
    return EmbeddingSettings(backbone=TINY, weights=str(path), image_size=SIDE)
