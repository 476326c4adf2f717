"""Sets with planted wrong labels, and what tests of `verify` do with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.config import RunOptions, VerifySettings
from cleaner.dataset.manifest import drop_rows, write_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.stages.verify import run_verify
from tests.support.backbones import SMALL

CLASSES = ("ant", "bee", "cow", "doe", "elk", "fox")
PER_CLASS, PER_CLASS_VAL = 30, 48
WRONG = 0.4


def draw_picture(path: Path, k: int, rng: np.random.Generator) -> None:
    """A picture of class k: stripes in its own direction and hue, under grain and a tint that varies."""
    y, x = np.mgrid[:48, :48]
    angle = np.pi * k / len(CLASSES)
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / 12 + rng.uniform(0, 6.28))
    hue = np.cos(2 * angle + 2 * np.pi * np.arange(3) / 3)
    pixels = 128 + 24 * wave[..., None] + 20 * hue + rng.normal(0, 30, (48, 48, 3)) + rng.uniform(-30, 30, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def true_class(manifest: pd.DataFrame) -> np.ndarray:
    return manifest["file_name"].str.split("/").str[-1].str.split("-").str[0].to_numpy()


def write_cleaned(work: Workspace, drop: np.ndarray, **columns: Any) -> Path:
    """A manifest from which another rule dropped rows, and that the command reads with --from."""
    manifest = work.read("scan").assign(**columns)
    drop_rows(manifest, drop, "labels", "label_issue_fine")
    path = work.root / "cleaned.parquet"
    write_manifest(path, manifest, stage="labels", parent_sha256="")
    return path


def verify(work: Workspace, planted: Path, from_file: Path | None = None, **given: Any) -> dict[str, Any]:
    settings = VerifySettings(embedding=SMALL, val=str(planted / "val"), num_seeds=given.pop("num_seeds", 0))
    run_verify(work, settings, RunOptions(workers=1), from_file, **given)
    document = json.loads((work.root / "verify" / "verify.json").read_text())
    assert isinstance(document, dict)
    return document
