"""Fixtures of tests/modeling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from cleaner.dataset.store import sha256_file
from cleaner.modeling.batches import Sample
from cleaner.modeling.pixels import Pixels, load_pixels
from cleaner.progress import Silent
from tests.support.networks import CLASSES, NUM, SIDE, TINY


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[Path], np.ndarray]:
    """Ids and paths of pictures whose class is the channel in which stripes run, and the class numbers."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    targets = np.arange(NUM) % CLASSES
    paths = []
    for i, target in enumerate(targets):
        pixels = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[:, rng.integers(4) :: 4, target] = 230
        paths.append(folder / f"{i:03}.png")
        Image.fromarray(pixels).save(paths[-1])
    return [sha256_file(p) for p in paths], paths, targets.astype(np.int64)


@pytest.fixture(scope="session")
def pixels(drawn: tuple[list[str], list[Path], np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    ids, paths, _ = drawn
    return load_pixels(ids, paths, SIDE, tmp_path_factory.mktemp("cache"), workers=1, progress=Silent())


@pytest.fixture
def sample(pixels: Pixels, drawn: tuple[list[str], list[Path], np.ndarray]) -> Sample:
    return Sample(pixels, np.arange(NUM), drawn[2], np.ones(NUM, np.float32), np.ones(NUM, np.int64))


@pytest.fixture(scope="session")
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
