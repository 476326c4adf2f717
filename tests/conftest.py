"""One real run of the whole pipeline over sample_data, shared by all tests that look at its outcome."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
SAMPLE = REPO / "sample_data"


@pytest.fixture(scope="session")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all four stages done over sample_data. Read it; to change it, take `sample_copy`."""
    from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.balance import run_balance
    from cleaner.stages.labels import run_labels
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan

    root = tmp_path_factory.mktemp("sample_run")
    workspace, options = Workspace(root), RunOptions()
    run_scan(workspace, SAMPLE / "images", ScanSettings(), options)
    run_noise(workspace, NoiseSettings(seeds=str(SAMPLE / "seeds.csv")), options)
    run_labels(workspace, LabelsSettings(), options)
    run_balance(workspace, BalanceSettings(), options)
    return root


@pytest.fixture
def sample_copy(sample_run: Path, tmp_path: Path) -> Path:
    """A workspace of one's own, with all stages done and the cache warm."""
    root = tmp_path / "workspace"
    shutil.copytree(sample_run, root)
    return root
