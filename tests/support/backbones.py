"""Backbones of tests."""

from __future__ import annotations

from typing import Any

from cleaner.config import EmbeddingSettings
from cleaner.modeling.backbones import Backbone, load_backbone

SMALL = EmbeddingSettings(backbone="embedded-small")
"""One network at 160 px: a third of the default's time."""


def load(**settings: Any) -> Backbone:
    """A backbone at 64 px in fp32, or as `settings` have it."""
    return load_backbone(SMALL.replace(**{"image_size": 64, "precision": "fp32"} | settings), "cpu")
