"""An image's style: mean and standard deviation of each channel in the inner stages of a network.

These statistics tell whether a picture is a photograph, a drawing, a scan or a page of text, which an embedding
leaves out by design. Style transfer matches them (Huang & Belongie 2017), and out-of-distribution detectors use them
(Lee et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

_MOST_STAGES = 4


def find_stages(network: nn.Module) -> dict[str, int]:
    """Names of the modules that end the inner stages of a timm network, with their numbers of channels.

    Neither the first stage, which is costly and tells little, nor the last, which the embedding is made of; at most
    four, evenly spread. Empty if timm does not name them.
    """
    known: Any = getattr(network, "feature_info", None) or []
    inner = [(str(f["module"]), int(f["num_chs"])) for f in known][1:-1]
    if len(inner) > _MOST_STAGES:
        inner = [inner[i] for i in np.linspace(0, len(inner) - 1, _MOST_STAGES).round().astype(int)]
    modules = dict(network.named_modules())
    return {name: num for name, num in inner if name in modules}


class StagedNetwork(nn.Module):
    """A network that also returns the outputs of its stages."""

    def __init__(self, network: nn.Module, stages: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._stages = [network.get_submodule(name) for name in stages]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Features (B, D) of `x`, and the maps of the stages in the order they ran in."""
        maps: list[torch.Tensor] = []
        hooks = [stage.register_forward_hook(lambda module, given, out: maps.append(out)) for stage in self._stages]
        try:
            return self.network(x), maps
        finally:  # the network is used elsewhere too
            for hook in hooks:
                hook.remove()


def compute_style(maps: Sequence[torch.Tensor], num_channels: Sequence[int]) -> torch.Tensor:
    """Mean and standard deviation (B, S) float32 of every channel over all positions of its map.

    `maps`: (B, C, H, W), (B, H, W, C) or tokens (B, N, C), with C as `num_channels` has it.
    """
    parts = []
    for values, num in zip(maps, num_channels, strict=True):
        channel = 1 if values.ndim == 4 and values.shape[1] == num else -1
        x = values.movedim(channel, -1).flatten(1, -2).float()  # torch.std_mean takes eight times as long
        mean = x.mean(1)
        parts += [mean, (x - mean[:, None]).square_().mean(1).sqrt()]
    return torch.cat(parts, 1)
