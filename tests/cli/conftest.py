"""Fixtures of tests/cli."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.process import cleaner


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which six images were scanned; `images/` beside it holds them."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    for name in ("cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/2.jpg", "dog/[a] 3.jpg"):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    done = cleaner("scan", "images", "-C", "work", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "6 files · 6 kept" in done.stdout and "then cleaner noise -C work" in done.stdout
    return folder / "work"
