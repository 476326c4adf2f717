"""What tests of `train` learn from, and with which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cleaner.config import BalanceSettings, EmbeddingSettings, RunOptions, ScanSettings, TrainSettings
from cleaner.dataset.workspace import Workspace
from cleaner.stages.balance import run_balance
from cleaner.stages.scan import run_scan
from tests.support.backbones import SMALL

TINY = "test_efficientnet"
SIDE = 32
NUM = {"blue": 10, "green": 20, "red": 60}
EMBEDDING = EmbeddingSettings(backbone=TINY, image_size=SIDE, precision="fp32")
OPTIONS = RunOptions(workers=1, device="cpu")
ARGUMENTS = [
    "--backbone",
    TINY,
    "--image-size",
    SIDE,
    "--precision",
    "fp32",
    "--scratch",
    "--recipe",
    "crop",
    "--epochs",
    6,
    "--learning-rate",
    0.003,
    "--batch-size",
    16,
    "--device",
    "cpu",
    "--workers",
    1,
]


def settings(**values: Any) -> TrainSettings:
    usual = {"recipe": "crop", "epochs": 6, "batch_size": 16, "learning_rate": 3e-3, "scratch": True}
    return TrainSettings(**usual | {"embedding": EMBEDDING} | values)


def draw(folder: Path, label: str, num: int, seed: int) -> None:
    """Pictures with stripes in the channel that the label names."""
    rng = np.random.default_rng([seed, len(label)])
    (folder / label).mkdir(parents=True)
    for i in range(num):
        pixels = rng.integers(0, 90, (40, 40, 3), dtype=np.uint8)
        pixels[:, rng.integers(4) :: 4, "rgb".index(label[0])] = 230
        Image.fromarray(pixels).save(folder / label / f"{i:02}.png")


def make_balanced(folder: Path) -> Path:
    """`folder` with `images/`, a train and a val split, and `work/`, scanned and balanced."""
    for label, num in NUM.items():
        draw(folder / "images" / "train", label, num, 1)
        draw(folder / "images" / "val", label, 8, 2)
    workspace = Workspace(folder / "work")
    run_scan(workspace, folder / "images", ScanSettings(near_radius=0), OPTIONS)
    run_balance(workspace, BalanceSettings(embedding=SMALL, min_count=0, floor=1 / 2), OPTIONS)
    return folder
