"""Batch norm faults of a trained network: dead channels, and statistics that lag behind. recipe.md section 4."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

_DEAD_SPREAD = 1e-3
"""A channel whose range over a sample of images is smaller is dead; a live one's is about its scale, 1."""
_GAP = 0.2
"""Training recall this far above validation recall is worth a warning."""


@dataclass(frozen=True)
class NormHealth:
    """The state of a network's batch norms after training."""

    num_channels: int
    num_dead: int
    """Channels with the same output for every image and position: their scale decayed, or they fell below zero."""
    recall_batch_statistics: float
    """Mean recall of training images with the statistics of the batch, as in training; 0 .. 1."""
    recall_running_statistics: float
    """The same with the running statistics, as in prediction."""

    def warnings(self, val_recall: float | None) -> list[str]:
        """Warnings for the user. `val_recall` 0 .. 1, or None if nothing was held out."""
        out = []
        if self.num_dead:
            out.append(
                f"{self.num_dead:,} of {self.num_channels:,} batch norm channels are dead after training: a strong "
                "weight decay on norm scales, or a learning rate that is too high, does that"
            )
        lost = self.recall_batch_statistics - self.recall_running_statistics
        if val_recall is not None and self.recall_batch_statistics - val_recall > _GAP:
            cause = (
                f"batch norm: with its running statistics recall on the training images themselves is only "
                f"{self.recall_running_statistics:.2f}; let them follow faster (--norm-momentum 0.9) or train longer"
                if lost > _GAP / 2
                else "over-fitting, or batch norm (statistics that lag, scales that decayed): compare --freeze-norm"
            )
            out.append(
                f"training recall {self.recall_batch_statistics:.2f} is far above validation recall {val_recall:.2f}: "
                + cause
            )
        return out


def diagnose_norms(
    network: nn.Module, batches: Iterable[tuple[torch.Tensor, np.ndarray]], num_classes: int
) -> NormHealth | None:
    """Examine the batch norms of a trained network; None if it has none.

    `batches` of network inputs (B, 3, S, S) and class numbers (B,): a sample of the training images, not augmented.
    The network is not changed.
    """
    network = copy.deepcopy(network).eval()
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return None
    low: dict[nn.Module, torch.Tensor] = {}
    high: dict[nn.Module, torch.Tensor] = {}

    def watch(norm: nn.Module, _: object, output: torch.Tensor) -> None:
        values = output.detach().float().transpose(0, 1).flatten(1)  # (C, B * H * W)
        low[norm] = torch.minimum(low.get(norm, values.amin(1)), values.amin(1))
        high[norm] = torch.maximum(high.get(norm, values.amax(1)), values.amax(1))

    held = list(batches)
    hooks = [norm.register_forward_hook(watch) for norm in norms]
    running = _mean_recall(network, held, num_classes)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        norm.train()
    in_batch = _mean_recall(network, held, num_classes)
    num_dead = sum(int((high[n] - low[n] < _DEAD_SPREAD).sum()) for n in norms if n in low)
    return NormHealth(sum(n.num_features for n in norms), num_dead, in_batch, running)


@torch.inference_mode()
def _mean_recall(network: nn.Module, batches: list[tuple[torch.Tensor, np.ndarray]], num_classes: int) -> float:
    hits, totals = np.zeros(num_classes), np.zeros(num_classes)
    for x, targets in batches:
        predicted = network(x).argmax(1).cpu().numpy()
        hits += np.bincount(targets[predicted == targets], minlength=num_classes)
        totals += np.bincount(targets, minlength=num_classes)
    there = totals > 0
    return float((hits[there] / totals[there]).mean())
