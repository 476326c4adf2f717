"""Whole networks for training: a timm model with a new classifier, and how its input is prepared."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torchvision.transforms.v2 import functional as F

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import digest_of
from cleaner.errors import BackboneError
from cleaner.freed_memory import keep_freed_memory
from cleaner.modeling.backbone_names import architecture_of, trained_network
from cleaner.modeling.backbones import (
    KEPT_BYTES,
    Backbone,
    NetworkSpec,
    create_network,
    load_backbone,
    normalisation_of,
    resolve_device,
    resolve_precision,
)


@dataclass(frozen=True)
class Blueprint(NetworkSpec):
    """A network before training."""

    body: nn.Module | None
    """The pre-trained network without a classifier; None: random weights."""

    @classmethod
    def of(cls, backbone: Backbone) -> Blueprint:
        """The network of a backbone."""
        return cls(**{f.name: getattr(backbone, f.name) for f in fields(NetworkSpec)}, body=backbone.network)

    def build(self, num_classes: int, seed: int) -> nn.Module:
        """A new copy with a fresh classifier, on the device, ready to be trained; same seed, same weights.

        Raises BackboneError if it does not end in a linear classifier with a bias.
        """
        with seeded(self.device, seed, 0):
            if self.body is None:
                network: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=num_classes)
            else:
                network = copy.deepcopy(self.body).requires_grad_(True)
                network.reset_classifier(num_classes)  # type: ignore[operator]
        classifier_of(network, self.name)
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network.train()

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """The network's input (B, 3, S, S) float, channels last, from pixels (B, 3, H, W) in 0 .. 255."""
        x = images.to(self.device).float()
        if x.shape[-1] != self.image_size:
            x = F.resize(x, [self.image_size, self.image_size], antialias=True)
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last)

    def at(self, image_size: int) -> Blueprint:
        """The same network at another resolution."""
        return replace(self, image_size=image_size)

    def card(self) -> dict[str, Any]:
        """The network's part of a checkpoint's JSON: enough to load it and to prepare its input."""
        return {
            "architecture": self.name,
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
            "initial_weights_sha256": self.weights_sha256,
            "precision": self.precision,
        }

    @property
    def key(self) -> str:
        """A digest of all that a training depends on besides images, recipe and seed."""
        return digest_of(self.card(), self.device.type)


def load_blueprint(settings: EmbeddingSettings, device_name: str, *, scratch: bool = False) -> Blueprint:
    """The network that is trained under `settings`; with `scratch` none of its weights are loaded.

    Raises BackboneError if it is unknown or its weights cannot be fetched, BadInputError for a bad `weights` file.
    """
    settings = trained_network(settings)
    device = resolve_device(device_name)
    # on a CPU, bf16 slows the gradients of depthwise convolutions: 42 img/s against 111 (EfficientNet-Lite0, 64 px)
    precision = "fp32" if settings.precision == "auto" and device.type == "cpu" else settings.precision
    if not scratch:
        return Blueprint.of(load_backbone(replace(settings, precision=precision), device_name))
    keep_freed_memory(KEPT_BYTES)
    name = architecture_of(settings)
    mean, std = normalisation_of(create_network(name, pretrained=False), embedded=False)
    resolved = resolve_precision(precision, device)
    return Blueprint(name, "random", settings.image_size, mean, std, device, resolved, body=None)


def classifier_of(network: nn.Module, name: str = "") -> nn.Linear | nn.Conv2d:
    """The last layer, linear and with a bias. Raises BackboneError if the network ends in something else."""
    layer = network.get_classifier()  # type: ignore[operator]
    if not isinstance(layer, nn.Linear | nn.Conv2d) or layer.bias is None:
        raise BackboneError(
            f"backbone {name!r} cannot be fine-tuned here",
            expected="a network that ends in one linear layer with a bias",
            found=type(layer).__name__,
            next_step="choose another timm model with --backbone",
        )
    return layer


@contextmanager
def seeded(device: torch.device, *seeds: int) -> Iterator[None]:
    """Seed torch's global generators by `seeds` for a block, and restore them afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]))
        yield
