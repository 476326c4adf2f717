"""Which networks a backbone setting names."""

from __future__ import annotations

import numpy as np
import pytest

from cleaner.config import EmbeddingSettings
from cleaner.errors import BackboneError, UsageError
from cleaner.modeling.backbone_names import EMBEDDED, architecture_of, each_network, require_known, trained_network
from cleaner.modeling.backbones import load_backbone, load_backbones


def named(backbone: str, **settings: object) -> list[tuple[str, int, int]]:
    return [(s.backbone, s.image_size, s.views) for s in each_network(EmbeddingSettings(backbone=backbone, **settings))]  # type: ignore[arg-type]


def test_the_default_is_two_networks_each_at_its_own_size_in_one_view() -> None:
    assert named("embedded") == [("embedded-lite0", 224, 1), ("embedded-lite2", 260, 1)]
    assert named(EmbeddingSettings().backbone) == named("embedded")


def test_one_network_sees_two_views() -> None:
    assert named("embedded-small") == [("embedded-small", 160, 2)]
    assert named("resnet18") == [("resnet18", 224, 2)]
    assert named("embedded-lite2", views=1) == [("embedded-lite2", 260, 1)]


def test_several_are_joined_and_what_is_typed_goes_for_all() -> None:
    assert named("embedded, test_resnet", image_size=64, views=2) == [
        ("embedded-lite0", 64, 2),
        ("embedded-lite2", 64, 2),
        ("test_resnet", 64, 2),
    ]
    ((name, size, _),) = named("strong")
    assert name.startswith("vit_") and size == 224


def test_weights_go_with_one_network() -> None:
    with pytest.raises(UsageError, match="--weights goes with one backbone"):
        each_network(EmbeddingSettings(backbone="embedded", weights="w.pth"))
    assert len(each_network(EmbeddingSettings(backbone="resnet18", weights="w.pth"))) == 1


def test_training_takes_the_first_at_160_px_unless_a_size_was_requested() -> None:
    for backbone in ("embedded", "embedded-small", "resnet18"):
        first = trained_network(EmbeddingSettings(backbone=backbone))
        assert first.image_size == 160 and "," not in first.backbone
        assert trained_network(first) == first
    assert trained_network(EmbeddingSettings(image_size=96)).image_size == 96


def test_embedded_networks_are_timms_with_weights_of_a_package() -> None:
    for name, network in EMBEDDED.items():
        assert network.weights_path().is_file()
        assert architecture_of(EmbeddingSettings(backbone=name)) == network.architecture
    with pytest.raises(BackboneError, match="is not a timm model"):
        require_known("resnet_5000")


def test_the_second_network_knows_what_imagenet_taught_it_too() -> None:
    small, large = load_backbones(EmbeddingSettings(precision="fp32", image_size=64), "cpu")
    assert small.key != large.key and [b.name for b in (small, large)] == ["efficientnet_lite0", "efficientnet_lite2"]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    found = large.embed(pixels)
    assert found["plain"].shape == (4, 1280) and "mirrored" not in found and found["style"].shape[1] > 0
    assert np.isfinite(found["plain"].astype(np.float32)).all() and found["plain"].std() > 0.1
    with pytest.raises(ValueError, match="values to unpack"):
        load_backbone(EmbeddingSettings(), "cpu")
