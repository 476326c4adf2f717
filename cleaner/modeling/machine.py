"""Torch's view of this machine, for `cleaner doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cleaner.config import EmbeddingSettings
from cleaner.errors import BackboneError
from cleaner.modeling.backbone_names import EMBEDDED, each_network, require_known
from cleaner.modeling.backbones import num_threads, resolve_device, resolve_precision


def describe_torch(settings: EmbeddingSettings, device_name: str) -> dict[str, Any]:
    """Devices, precision, threads, and the backbone with the source of its weights. Loads no network.

    Raises UsageError for a device that this machine lacks, BackboneError for an unknown backbone or missing weights.
    """
    device, networks = resolve_device(device_name), each_network(settings)
    return {
        "device": str(device),
        "devices": _devices(),
        "precision": resolve_precision(settings.precision, device),
        "threads": num_threads(),
        "image_size": ", ".join(str(one.image_size) for one in networks),
        "backbone": settings.backbone,
        "weights": ", ".join(map(_weights, networks)),
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
    embedded = EMBEDDED.get(settings.backbone)
    if embedded is not None:
        return str(embedded.weights_path())
    require_known(settings.backbone)
    return "from the model hub, or its cache"
