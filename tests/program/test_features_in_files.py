"""Features in files lead to the decisions that features in memory lead to, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cleaner.config import BalanceSettings, EmbeddingSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.store import sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.modeling import columns
from cleaner.stages.balance import run_balance
from cleaner.stages.embedding_map import compute_map
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
from tests.support.backbones import SMALL

TWO_VIEWS = SMALL.replace(image_size=64)
TWO_NETWORKS = TWO_VIEWS.replace(backbone="embedded-small,embedded-lite2")
"""One view of each."""


def run_stages(workspace: Workspace, embedding: EmbeddingSettings, seeds: str) -> dict[str, str]:
    """Digests of what noise, labels, balance and map leave."""
    options = RunOptions(workers=1, force=True)
    run_noise(workspace, NoiseSettings(embedding=embedding, seeds=seeds), options)
    run_labels(workspace, LabelsSettings(embedding=embedding), options)
    run_balance(workspace, BalanceSettings(embedding=embedding), options)
    compute_map(workspace, embedding, options, "principal")
    files = [
        p for p in workspace.root.rglob("*") if p.suffix in (".parquet", ".safetensors") and "cache" not in p.parts
    ]
    assert len(files) > 12
    return {p.relative_to(workspace.root).as_posix(): sha256_file(p) for p in files}


@pytest.mark.parametrize("embedding", [TWO_VIEWS, TWO_NETWORKS], ids=["two views", "two networks"])
def test_whether_features_are_in_memory_or_in_files_changes_nothing(
    embedding: EmbeddingSettings, small_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_images / "images", tmp_path / "images")
    workspace, found = Workspace(tmp_path / "work"), []
    run_scan(workspace, tmp_path / "images", ScanSettings(), RunOptions(workers=1))
    for bound in (1 << 60, 0):
        monkeypatch.setattr(columns, "BYTES_IN_MEMORY", bound)
        shutil.rmtree(workspace.cache / "labels", ignore_errors=True)
        found.append(run_stages(workspace, embedding, str(small_images / "seeds.csv")))
    assert found[0] == found[1]
    assert (workspace.cache / "columns").is_dir() and not list((workspace.cache / "columns").iterdir())
    assert pd.read_parquet(workspace.manifest_path("noise"))["is_noise"].any()
