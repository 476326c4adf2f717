"""What the inner stages of a network say of an image's style."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.features import StyleFeatures
from cleaner.modeling.fusion import fuse_network
from cleaner.modeling.style import StagedNetwork, compute_style, find_stages
from tests.support.backbones import SMALL

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch lacks oneDNN")


def network_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    return network.eval().requires_grad_(False)


def test_stages_lie_between_the_first_and_the_last() -> None:
    assert find_stages(network_of("efficientnet_lite0")) == {"blocks.1": 24, "blocks.2": 40, "blocks.4": 112}
    assert list(find_stages(network_of("resnet10t")).values()) == [64, 128, 256]
    assert len(find_stages(network_of("test_vit"))) == 4
    assert find_stages(nn.Sequential(nn.Conv2d(3, 4, 1))) == {}


@pytest.mark.parametrize("name", ["test_efficientnet", "resnet10t", "test_convnext"])
def test_maps_are_those_that_timm_takes_for_features(name: str) -> None:
    network = network_of(name)
    stages = find_stages(network)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    theirs = timm.create_model(name, pretrained=False, features_only=True).eval()
    theirs.load_state_dict(
        {k.replace(".", "_", k.startswith(("stem", "stages"))): v for k, v in network.state_dict().items()},
        strict=False,
    )
    with torch.inference_mode():
        features, maps = StagedNetwork(network, list(stages))(x)
        expected = [m for m in theirs(x) if m.shape[1] in stages.values()]
        assert torch.equal(features, network(x))
    assert [m.shape[1] for m in maps] == list(stages.values())
    for mine, other in zip(maps, expected[-len(maps) :], strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
    assert not any(module._forward_hooks for module in network.modules())


@needs_onednn
@pytest.mark.parametrize("name", ["test_efficientnet", "efficientnet_lite0", "resnet10t", "mobilenetv3_small_050"])
def test_a_fused_network_puts_out_the_same_maps(name: str) -> None:
    network = network_of(name)
    stages = find_stages(network)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features, maps = StagedNetwork(network, list(stages))(x)
        fused_features, fused_maps = fuse_network(network, torch.float32, list(stages))(x)
    assert torch.allclose(fused_features, features, atol=1e-4 * float(features.abs().max()))
    assert len(maps) == len(fused_maps) == len(stages)
    for mine, other in zip(fused_maps, maps, strict=True):
        assert torch.allclose(mine, other, atol=1e-4 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize("shape", ["channels first", "channels last", "tokens"])
def test_style_is_mean_and_deviation_of_each_channel(shape: str) -> None:
    values = torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    over = values.flatten(2).double()
    given = {
        "channels first": values,
        "channels last": values.permute(0, 2, 3, 1),
        "tokens": values.flatten(2).transpose(1, 2),
    }[shape]
    found = compute_style([given.bfloat16().float(), given], [5, 5])
    assert found.shape == (3, 20)
    assert torch.allclose(found[:, 10:15].double(), over.mean(2), atol=1e-6)
    assert torch.allclose(found[:, 15:].double(), over.std(2, correction=0), atol=1e-6)


def test_the_embedded_network_tells_drawings_from_photographs_of_the_same_thing() -> None:
    backbone = load_backbone(SMALL.replace(image_size=64, precision="fp32"), "cpu")
    rng = np.random.default_rng(0)
    flat = np.repeat(np.repeat(rng.integers(0, 256, (16, 4, 4, 3)), 16, 1), 16, 2)
    grainy = np.clip(flat + rng.normal(0, 25, flat.shape), 0, 255)
    found = backbone.embed(np.concatenate([flat, grainy]).astype(np.uint8))
    assert found["style"].shape == (32, 2 * (24 + 40 + 112)) and found["style"].dtype == np.float16
    style = StyleFeatures(found["style"])(np.arange(32))
    axis = style[:8].mean(0) - style[16:24].mean(0)
    others = np.concatenate([style[8:16], style[24:]]) @ axis
    assert others[:8].min() > others[8:].max()
