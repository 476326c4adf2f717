"""Fused networks say what the networks say."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from cleaner.modeling.fusion import FusedConvolution, can_fuse, fuse_network
from tests.support.networks import TINY

needs_onednn = pytest.mark.skipif(not can_fuse(torch.device("cpu")), reason="this build of torch has no oneDNN")


def trained(name: str) -> torch.nn.Module:
    """A network whose batch norms are far from their first values."""
    torch.manual_seed(3)
    network: torch.nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                assert values is not None
                torch.nn.init.uniform_(values, low, high)
    return network.eval().requires_grad_(False)


@needs_onednn
@pytest.mark.parametrize("name", [TINY, "efficientnet_lite0", "resnet10t", "mobilenetv3_small_050", "test_vit"])
def test_a_fused_network_says_what_the_network_says(name: str) -> None:
    network = trained(name)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    size_px = 160 if name == "test_vit" else 64
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, size_px, size_px)).astype(np.float32))
    with torch.inference_mode():
        expected = network(x)
        fused = fuse_network(network, torch.float32)
        num_norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
        assert sum(isinstance(m, FusedConvolution) for m in fused.modules()) == num_norms
        assert torch.allclose(fused(x), expected, atol=1e-4 * float(expected.abs().max()))
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # no such arithmetic before AVX-512
            with torch.autocast("cpu", torch.bfloat16):
                low = fuse_network(network, torch.bfloat16)(x).float()
            assert torch.nn.functional.cosine_similarity(low, expected).min() > 0.99
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not any(isinstance(m, FusedConvolution) for m in network.modules())


class Branching(torch.nn.Module):
    """What torch.fx cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) if x.sum() > 0 else x


class Shared(torch.nn.Module):
    """A convolution before two norms, and one that is used twice: neither can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.twice = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 1)
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(4) for _ in range(4))
        for i, norm in enumerate(self.norms):
            norm.running_mean += i + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        x = self.norms[0](x) + self.norms[1](x)
        return self.norms[3](self.twice(self.norms[2](self.twice(x))))


def test_what_cannot_be_fused_stays_as_it_is() -> None:
    branching = Branching().eval()
    assert fuse_network(branching, torch.float32) is branching
    shared = Shared().eval()
    fused = fuse_network(shared, torch.float32)
    x = torch.rand(2, 3, 5, 5)
    assert not any(isinstance(m, FusedConvolution) for m in fused.modules())
    assert torch.equal(fused(x), shared(x))
