"""Workers that share a batch: nothing twice, nothing left out, and mixed as one worker mixes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cleaner.modeling.augment import mix_batch
from cleaner.modeling.group import ALONE, Group, join_group
from cleaner.modeling.networks import seeded

CPU = torch.device("cpu")


@pytest.mark.parametrize(("num", "size"), [(8, 1), (8, 2), (7, 3), (3, 3)])
def test_the_parts_are_the_batch(num: int, size: int) -> None:
    parts = []
    for rank in range(size):
        places, num_before = Group(rank, size).part(num)
        assert num_before == (size > 1)
        if num_before:
            assert places[0] == (places[1] - 1) % num
        parts.append(places[num_before:])
    assert np.concatenate(parts).tolist() == list(range(num))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_a_part_is_mixed_as_in_the_whole_batch(mixup: float, cutmix: float) -> None:
    images = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    targets = torch.nn.functional.one_hot(torch.arange(9) % 4, 4).float()
    for step in range(6):
        with seeded(CPU, step):
            whole, whole_targets = mix_batch(images, targets, mixup=mixup, cutmix=cutmix)
        assert not torch.equal(whole, images)
        for rank in range(2):
            places, num_before = Group(rank, 2).part(9)
            with seeded(CPU, step):
                part, part_targets = mix_batch(images[places], targets[places], mixup=mixup, cutmix=cutmix)
            mine = places[num_before:]
            assert torch.equal(part[num_before:], whole[mine])
            assert torch.allclose(part_targets[num_before:], whole_targets[mine])


def test_alone_it_does_nothing() -> None:
    assert join_group() is ALONE
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    assert ALONE.adapt(network) is network and ALONE.wrap(network) is network
    assert ALONE.total(0.1, CPU) == 0.1
