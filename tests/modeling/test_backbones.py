"""Any timm network by name, weights from files that cannot run code, and a cache that never mixes two networks."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from cleaner.config import EmbeddingSettings
from cleaner.dataset.images import load_rgb
from cleaner.dataset.store import sha256_file
from cleaner.errors import BackboneError, BadInputError, UsageError
from cleaner.modeling.backbones import Backbone, load_backbone, resolve_device, resolve_precision
from cleaner.modeling.embeddings import compute_embeddings, load_square
from cleaner.modeling.fusion import FusedConvolution, can_fuse, fuse_network
from cleaner.progress import Silent

TINY = "test_efficientnet"
"""timm's smallest network, made for tests."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same random weights of the tiny network in several wrappings."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    state = timm.create_model(TINY, pretrained=False).state_dict()
    save_file(state, folder / "tiny.safetensors")
    torch.save(state, folder / "plain.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "wrapped.pth")
    torch.save({"state_dict_ema": state, "state_dict": {}}, folder / "ema.pth")
    other_head = {k: v for k, v in state.items() if not k.startswith("classifier")}
    save_file(other_head | {"classifier.weight": torch.zeros(7, 5)}, folder / "other_head.safetensors")
    save_file({k: v for k, v in state.items() if k != "conv_stem.weight"}, folder / "lacking.safetensors")
    torch.manual_seed(2)
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), folder / "other.safetensors")
    return folder


def load(**settings: Any) -> Backbone:
    return load_backbone(EmbeddingSettings(**{"image_size": 64, "precision": "fp32"} | settings), "cpu")


def pixels(num: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num, 64, 64, 3), dtype=np.uint8)


# --- networks and weights ---------------------------------------------------------------------------------------------


def test_the_embedded_network_knows_what_imagenet_taught_it() -> None:
    network = load(image_size=160)
    assert network.name == "efficientnet_lite0" and network.precision == "fp32"
    assert network.mean == (127.0,) * 3 and network.std == (128.0,) * 3
    found = network.embed(np.repeat(pixels(1), 2, 0))
    plain, mirrored = found["plain"], found["mirrored"]
    assert plain.shape == (2, 1280) and plain.dtype == np.float16 and np.isfinite(plain).all()
    assert np.array_equal(plain[0], plain[1]) and not np.array_equal(plain, mirrored)


@pytest.mark.parametrize("name", ["tiny.safetensors", "plain.pth", "wrapped.pth", "ema.pth", "other_head.safetensors"])
def test_a_timm_network_by_name_with_weights_from_a_file(weights: Path, name: str) -> None:
    network = load(backbone=TINY, weights=str(weights / name))
    reference = timm.create_model(TINY, pretrained=False, num_classes=0)
    state = torch.load(weights / "plain.pth", weights_only=True)
    reference.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier")})
    config = timm.data.resolve_model_data_config(reference)
    mean, std = (torch.tensor(config[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    x = (torch.from_numpy(pixels()).permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.inference_mode():
        expected = reference.eval()(x).numpy()
    assert np.allclose(network.embed(pixels())["plain"], expected, atol=2e-3, rtol=2e-3)
    assert np.allclose(network.embed(pixels()[:, :, ::-1].copy())["mirrored"], expected, atol=2e-3, rtol=2e-3)


def test_inputs_are_normalised_as_the_network_was_trained(weights: Path) -> None:
    config = timm.get_pretrained_cfg(TINY)
    network = load(backbone=TINY, weights=str(weights / "tiny.safetensors"))
    assert np.allclose(network.mean, [255 * v for v in config.mean])
    assert np.allclose(network.std, [255 * v for v in config.std])


class Malicious:
    """Unpickled without care it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pth_that_would_run_code_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    for name, save in (("new.pth", torch.save), ("old.pth", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        save({"state_dict": Malicious(trap)}, tmp_path / name)
        with pytest.raises(BadInputError, match=f"{name}: cannot be read as weights") as refused:
            load(backbone=TINY, weights=str(tmp_path / name))
        assert "weights_only" in refused.value.expected and refused.value.next_step
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_files_that_are_no_weights_are_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=f"bad.{suffix}"):
        load(backbone=TINY, weights=str(path))


def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="does not fit the backbone") as refused:
        load(weights=str(weights / "tiny.safetensors"))
    assert "--backbone" in refused.value.next_step
    with pytest.raises(BadInputError, match=r"lacking.*does not fit") as refused:
        load(backbone=TINY, weights=str(weights / "lacking.safetensors"))
    assert "conv_stem.weight" in refused.value.expected and refused.value.found == "no such entry"
    with pytest.raises(BadInputError, match="no such weights file"):
        load(backbone=TINY, weights=str(tmp_path / "absent.pth"))


def test_unknown_names_and_weights_that_cannot_be_fetched_name_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackboneError, match="'resnet_5000' is not a timm model") as refused:
        load(backbone="resnet_5000")
    assert "embedded default" in refused.value.next_step

    def offline(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co' to load the files")

    monkeypatch.setattr("timm.models._builder.load_pretrained", offline)
    with pytest.raises(BackboneError, match="could not be fetched from the model hub") as refused:
        load(backbone=TINY)
    assert "embedded default" in refused.value.next_step and "--weights" in refused.value.next_step
    assert "couldn't connect" in refused.value.found


def test_devices_and_precision() -> None:
    with pytest.raises(UsageError, match="'warp' is unknown"):
        resolve_device("warp")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="not on this machine"):
            resolve_device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_precision("fp32", torch.device("cpu")) == "fp32"
    assert resolve_precision("auto", torch.device("cpu")) in ("fp32", "bf16")


# --- fused for speed --------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("size", [(700, 500), (90, 40), (64, 64)])
def test_the_quick_resize_is_pillows(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "x.jpg", quality=90)
    ours, theirs = load_square(tmp_path / "x.jpg", 64), load_rgb(tmp_path / "x.jpg", 64)
    assert ours.shape == (64, 64, 3) and ours.dtype == np.uint8 and ours.flags.c_contiguous
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 2 and difference.mean() < 0.1


# --- the cache --------------------------------------------------------------------------------------------------------


def test_the_cache_tells_networks_weights_sizes_and_precisions_apart(weights: Path) -> None:
    tiny = {"backbone": TINY, "weights": str(weights / "tiny.safetensors")}
    variants = [
        {},
        {"precision": "bf16"},
        {"image_size": 96},
        tiny,
        tiny | {"weights": str(weights / "other.safetensors")},
        tiny | {"precision": "bf16"},
        {"views": 1},
    ]
    keys = [load(**variant).key for variant in variants]
    assert len(set(keys)) == len(keys)
    assert load(**tiny).key == keys[3]


def test_each_network_gets_its_own_embeddings_and_only_new_images_are_computed(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths, ids = [], []
    for number in range(4):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)).save(paths[-1])
        ids.append(sha256_file(paths[-1]))
    seen: list[int] = []

    class Counting(Silent):
        def task(self, name: str, total: int) -> Any:
            seen.append(total)
            return super().task(name, total)

    def embed(network: Backbone, rows: slice) -> np.ndarray:
        done = compute_embeddings(ids[rows], paths[rows], network, tmp_path / "c", workers=1, progress=Counting())
        return done.plain

    one = load(backbone=TINY, weights=str(weights / "tiny.safetensors"))
    two = load(backbone=TINY, weights=str(weights / "other.safetensors"))
    first = embed(one, slice(0, 3))
    assert not np.array_equal(first, embed(two, slice(0, 3)))
    assert np.array_equal(embed(one, slice(0, 4))[:3], first)
    assert np.array_equal(embed(one, slice(0, 4))[:3], first)
    assert seen == [3, 3, 1]


def test_one_view_is_the_plain_one_and_takes_half_the_room(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)).save(path)
    ids = [sha256_file(path) for path in paths]
    tiny = {"backbone": TINY, "weights": str(weights / "tiny.safetensors")}
    found, room = [], []
    for views in (2, 1, 1):  # the last from the cache
        cache = tmp_path / f"cache{views}"
        network = load(**tiny, views=views)
        found.append(compute_embeddings(ids, paths, network, cache, workers=1, progress=Silent()))
        room.append(sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()))
    assert [len(f.views) for f in found] == [2, 1, 1]
    assert all(np.array_equal(f.plain, found[0].plain) for f in found)
    assert room[1] == room[2] < 0.7 * room[0]
    assert len(found[1].take(np.array([2, 0])).views) == 1
    both = (found[0].plain.astype(np.float32) + found[0].mirrored) / 2
    assert np.array_equal(found[0].mean(slice(None)), both)
    assert np.array_equal(found[1].mean(np.array([2, 0])), found[0].plain[[2, 0]].astype(np.float32))
    nothing = compute_embeddings([], [], load(**tiny, views=1), tmp_path, workers=1, progress=Silent())
    assert len(nothing.views) == 1 and len(nothing.plain) == 0


def test_an_image_that_cannot_be_decoded_any_more_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").write_bytes(b"\xff\xd8\xff")
    network = load(backbone=TINY, weights=str(weights / "tiny.safetensors"))
    with pytest.raises(BadInputError, match=r"gone\.jpg"):
        compute_embeddings(["0" * 64], [tmp_path / "gone.jpg"], network, tmp_path, workers=1, progress=Silent())
