"""Fixtures of tests/stages."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cleaner.config import RunOptions, ScanSettings, VerifySettings
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan
from cleaner.stages.verify import run_verify
from tests.support.backbones import SMALL
from tests.support.verified import CLASSES, PER_CLASS, PER_CLASS_VAL, WRONG, draw_picture


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/` with 40 % wrong labels (the name tells the truth: cow-007.png), `val/`, and a scanned `work/`."""
    root, rng = tmp_path_factory.mktemp("verify"), np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        for i in range(PER_CLASS):
            given = CLASSES[(k + rng.integers(1, len(CLASSES))) % len(CLASSES)] if rng.random() < WRONG else name
            draw_picture(root / "images" / given / f"{name}-{i:03d}.png", k, rng)
        for i in range(PER_CLASS_VAL):
            draw_picture(root / "val" / name / f"{i:03d}.png", k, rng)
    run_scan(Workspace(root / "work"), root / "images", ScanSettings(near_radius=0), RunOptions(workers=1))
    run_verify(
        Workspace(root / "work"), VerifySettings(embedding=SMALL, val=str(root / "val")), RunOptions(workers=1)
    )  # fills the cache
    return root


@pytest.fixture
def work(planted: Path, tmp_path: Path) -> Workspace:
    """A scanned workspace of one's own whose embeddings are cached."""
    shutil.copytree(planted / "work", tmp_path / "work")
    shutil.rmtree(tmp_path / "work" / "verify")
    return Workspace(tmp_path / "work")
