"""One real run of the whole pipeline over sample_data, shared by all tests that look at its outcome."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.places import SAMPLE

pytest_plugins = ["tests.support.program", "tests.support.launcher"]


def run_all_stages(source: Path, root: Path, *, workers: int) -> Path:
    """Run scan, noise, labels and balance over `source`/images with `source`/seeds.csv in the workspace `root`."""
    from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.balance import run_balance
    from cleaner.stages.labels.run import run_labels
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan

    workspace, options = Workspace(root), RunOptions(workers=workers)
    run_scan(workspace, source / "images", ScanSettings(), options)
    run_noise(workspace, NoiseSettings(seeds=str(source / "seeds.csv")), options)
    run_labels(workspace, LabelsSettings(), options)
    run_balance(workspace, BalanceSettings(), options)
    return root


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: what is trained here is too small to gain by more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all four stages done over sample_data. Read it; to change it, take `sample_copy`."""
    return run_all_stages(SAMPLE, tmp_path_factory.mktemp("sample_run"), workers=0)


@pytest.fixture
def sample_copy(sample_run: Path, tmp_path: Path) -> Path:
    """A workspace of one's own, with all stages done and the cache warm."""
    root = tmp_path / "workspace"
    shutil.copytree(sample_run, root)
    return root


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/` and `seeds.csv`: twelve classes of sample_data, 20 sound images each, planted faults among them."""
    root = tmp_path_factory.mktemp("small")
    with (SAMPLE / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["fault"]]
    names = set()
    for label in sorted({row["given_label"] for row in rows})[:12]:
        mine = [row for row in rows if row["given_label"] == label]
        noise = [row for row in mine if row["is_noise_image"] == "true"]
        rest = [row for row in mine if row["is_noise_image"] == "false"]
        names |= {row["file_name"] for row in (noise[:3] + rest)[:20]}
    for name in sorted(names):
        target = root / "images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SAMPLE / "images" / name, target)
    first, second, *_ = sorted((root / "images").iterdir())
    original = sorted(first.glob("*.jpg"))[0]
    shutil.copyfile(original, second / "zz_copy_under_another_label.jpg")
    (first / "zz_empty.jpg").touch()
    with (SAMPLE / "seeds.csv").open(newline="", encoding="utf-8") as file:
        seeds = [row for row in csv.reader(file) if row[0] in names]
    with (root / "seeds.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["file_name", "is_noise"], *seeds])
    return root


@pytest.fixture(scope="session")
def small_run(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all four stages done over `small_images`. Read it; to change it, take `small_copy`."""
    return run_all_stages(small_images, tmp_path_factory.mktemp("small_run"), workers=1)


@pytest.fixture
def small_copy(small_run: Path, tmp_path: Path) -> Path:
    """A workspace of one's own over `small_images`, with all stages done and the cache warm."""
    root = tmp_path / "workspace"
    shutil.copytree(small_run, root)
    return root
