"""Dead channels and lagging statistics are found where they were made, and not elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from cleaner.modeling.diagnosis import NormHealth, diagnose_norms


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", pretrained=False, num_classes=3).eval()


def batches() -> list[tuple[torch.Tensor, np.ndarray]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(12, 3, 32, 32, generator=generator), np.arange(12) % 3) for _ in range(2)]


def test_channels_whose_scale_is_gone_are_counted(network: torch.nn.Module) -> None:
    before = diagnose_norms(network, batches(), 3)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert before is not None and before.num_channels == sum(n.num_features for n in norms)
    with torch.no_grad():
        norms[0].weight[:5] = 1e-5  # what an L2 that nothing opposes leaves
        norms[1].bias[2], norms[1].weight[2] = -50.0, 0.1  # below zero, and cut off by the activation
    after = diagnose_norms(network, batches(), 3)
    assert after is not None and after.num_dead == before.num_dead + 6


def test_looking_changes_nothing(network: torch.nn.Module) -> None:
    state = {k: v.clone() for k, v in network.state_dict().items()}
    diagnose_norms(network, batches(), 3)
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert not network.training


def test_a_network_without_batch_norm_has_no_such_figures() -> None:
    network = timm.create_model("test_efficientnet_ln", pretrained=False, num_classes=3)
    assert diagnose_norms(network, batches(), 3) is None


def test_statistics_that_lag_behind_lower_recall_only_where_they_are_used() -> None:
    """Trained with a momentum of 0.9997 a network knows its own training images in training mode alone."""
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", pretrained=False, num_classes=3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1 - 0.9997
    held = batches()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    network.train()
    for _ in range(25):
        for x, targets in held:
            loss = torch.nn.functional.cross_entropy(network(5 * x + 3), torch.from_numpy(targets))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    health = diagnose_norms(network, [(5 * x + 3, t) for x, t in held], 3)
    assert health is not None
    assert health.recall_batch_statistics > 0.9 > 0.6 > health.recall_running_statistics
    (warning,) = [w for w in health.warnings(0.4) if "training recall" in w]
    assert "batch norm: with its running statistics" in warning and "--norm-momentum" in warning


def test_warnings_name_the_cause() -> None:
    assert NormHealth(100, 0, 0.9, 0.9).warnings(0.85) == []
    assert NormHealth(100, 0, 0.9, 0.9).warnings(None) == []
    (dead,) = NormHealth(100, 7, 0.9, 0.9).warnings(0.85)
    assert "7 of 100" in dead and "weight decay" in dead
    (fitted,) = NormHealth(100, 0, 0.9, 0.88).warnings(0.5)
    assert "over-fitting" in fitted and "batch norm" in fitted
