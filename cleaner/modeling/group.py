"""Workers that train one network together: each computes its part of every batch, and all take the same step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Group:
    """A worker's place in its group; by default the only one."""

    rank: int = 0
    """From 0; worker 0 writes the checkpoints."""
    size: int = 1

    def part(self, num: int) -> tuple[np.ndarray, int]:
        """Places (m,) int64 in a batch of `num` rows that this worker computes, and how many of them precede its own.

        Those are only mixed with: MixUp and CutMix mix each row with the one before it (torchvision rolls the batch
        by one).
        """
        if self.size == 1:
            return np.arange(num), 0
        mine = np.array_split(np.arange(num), self.size)[self.rank]
        return np.concatenate([[mine[0] - 1], mine]) % num, 1

    def adapt(self, network: nn.Module) -> nn.Module:
        """The network with batch norms over the whole batch; on a CPU, where torch has no such norms, unchanged."""
        if self.size == 1 or next(network.parameters()).device.type != "cuda":
            return network
        adapted: nn.Module = convert_sync_batchnorm(network)
        return adapted

    def wrap(self, network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """The network to be called: `backward` leaves the mean gradient over the workers in its parameters."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def total(self, value: float, device: torch.device) -> float:
        """The sum of the workers' values."""
        if self.size == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(held)
        return float(held)

    def align(self, network: nn.Module) -> None:
        """Give the network the running statistics of worker 0."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)


ALONE = Group()


def join_group() -> Group:
    """The group that this process was started in, if any."""
    if not distributed.is_initialized():
        return ALONE
    return Group(distributed.get_rank(), distributed.get_world_size())
