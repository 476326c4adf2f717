"""Small trees of pictures, and scans of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageResult


def picture(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def make_tree(folder: Path) -> Path:
    """Twelve pictures in the classes a, b and c, below `folder`."""
    for i in range(12):
        save(folder / f"{'abc'[i % 3]}/{i:02d}.png", picture(i))
    return folder


def scan(
    root: Path, work: Path, *, workers: int = 1, force: bool = False, progress: Any = None, **settings: Any
) -> tuple[pd.DataFrame, StageResult]:
    options = RunOptions(workers=workers, force=force, **({"progress": progress} if progress else {}))
    result = run_scan(Workspace(work), root, ScanSettings(**settings), options)
    return Workspace(work).read("scan").set_index("file_name"), result


class Recorder:
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.done = 0
        self.total = 0

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Recorder]:
        assert name in ("scan", "second look at likely copies, images")
        self.total = total
        yield self

    def advance(self, num: int = 1) -> None:
        self.done += num

    def say(self, message: str) -> None:
        raise AssertionError(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
