"""Backbones: the embedded network, timm's by name, weights from files, devices and precision."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from cleaner.errors import BackboneError, BadInputError, UsageError
from cleaner.modeling.backbones import resolve_device, resolve_precision
from tests.support.backbones import load
from tests.support.networks import TINY


def pixels(num: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num, 64, 64, 3), dtype=np.uint8)


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
        with pytest.raises(BadInputError, match=f"{name}: not a readable weights file") as refused:
            load(backbone=TINY, weights=str(tmp_path / name))
        assert "nothing was run" in refused.value.found and refused.value.next_step
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
