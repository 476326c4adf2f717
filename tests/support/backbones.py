"""Backbones of tests."""

from __future__ import annotations

from typing import Any

from cleaner.config import EmbeddingSettings
from cleaner.modeling.backbones import Backbone, load_backbone


def load(**settings: Any) -> Backbone:
    return load_backbone(EmbeddingSettings(**{"image_size": 64, "precision": "fp32"} | settings), "cpu")
