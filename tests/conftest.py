"""Fixtures that several rooms share: pictures of sample_data, and real runs of the whole pipeline over them."""

from __future__ import annotations

import csv
import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from cleaner.engine.local import count_workers
from tests.support.places import SAMPLE

# `--hypothesis-profile holds` tries ten times as many, and others each time
settings.register_profile(
    "suite",
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("holds", settings.get_profile("suite"), max_examples=500, derandomize=False)
settings.load_profile("suite")

pytest_plugins = ["tests.support.program", "tests.support.launcher"]

# A shell that starts the tests in the background has SIGINT ignored, and every program that they start would inherit
# that: tests of Ctrl-C need the usual handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a worker for each core, two at least (some tests wait for other processes), and no more than six."""
    return min(max(count_workers(0), 2), 6)


def build_once(tmp_path_factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """A folder that `build` fills: once in all, whichever worker of pytest-xdist comes first."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            build(folder)
            done.touch()
    return folder


def run_all_stages(source: Path, root: Path) -> None:
    """Run scan, noise, labels and balance over `source`/images with `source`/seeds.csv in the workspace `root`."""
    from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.balance import run_balance
    from cleaner.stages.labels.run import run_labels
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan
    from tests.support.backbones import SMALL

    workspace, options = Workspace(root), RunOptions(workers=1)
    run_scan(workspace, source / "images", ScanSettings(), options)
    run_noise(workspace, NoiseSettings(embedding=SMALL, seeds=str(source / "seeds.csv")), options)
    run_labels(workspace, LabelsSettings(embedding=SMALL), options)
    run_balance(workspace, BalanceSettings(embedding=SMALL), options)


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all four stages done over sample_data. Read it; to change it, take `sample_copy`."""
    return build_once(tmp_path_factory, "sample_run", lambda root: run_all_stages(SAMPLE, root))


@pytest.fixture
def sample_copy(sample_run: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own over sample_data, with all stages done and the cache warm."""
    return Path(shutil.copytree(sample_run, tmp_path / "workspace"))


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/` and `seeds.csv`: twelve classes of sample_data, 20 sound images each, planted faults among them."""
    return build_once(tmp_path_factory, "small_images", copy_small_set)


def copy_small_set(root: Path) -> None:
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


@pytest.fixture(scope="session")
def small_run(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all four stages done over `small_images`. Read it; to change it, take `small_copy`."""
    return build_once(tmp_path_factory, "small_run", lambda root: run_all_stages(small_images, root))


@pytest.fixture
def small_copy(small_run: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own over `small_images`, with all stages done and the cache warm."""
    return Path(shutil.copytree(small_run, tmp_path / "workspace"))
