"""Linear heads on a Ray cluster, in closed form by shards and by steps by folds; one of its nodes is killed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleaner.config import LabelsSettings, RunOptions
from cleaner.dataset.store import sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.modeling import closed_form, head_tasks, probe
from cleaner.stages.labels.run import run_labels
from tests.support.backbones import SMALL
from tests.support.nodes import node_that_dies

pytest.importorskip("ray", reason="ray is not installed: pip install 'cleaner-images[ray]'")
FILES = ("manifest.parquet", "rounds.parquet", "classes.parquet", "predictions.safetensors")


@pytest.fixture
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How heads are made of this small set, as if it were a large one."""
    if request.param == "closed form":
        monkeypatch.setattr(closed_form, "LARGEST_FOR_STEPS", 0)
        monkeypatch.setattr(closed_form, "rows_of_sums", lambda *shape: 32)
    else:
        monkeypatch.setattr(probe, "APART_CLASSES", 2)
    monkeypatch.setattr(head_tasks, "PREDICTED_ROWS", 24)
    return str(request.param)


def label(source: Path, root: Path, options: RunOptions) -> dict[str, str]:
    """Digests of what `labels` writes in a copy of a workspace: passes, rule and fold models."""
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("labels", "balance"))
    settings = LabelsSettings(folds=3, top_k=(1,), max_rounds=1, embedding=SMALL.replace(image_size=64))
    run_labels(Workspace(root), settings, options)
    written = [*FILES, *(f"models/fold_{fold}.safetensors" for fold in range(3))]
    return {name: sha256_file(root / "labels" / name) for name in written}


@pytest.mark.parametrize("kind", ["closed form", "steps"], indirect=True)
def test_workers_nodes_and_one_that_dies_give_the_same_bytes(
    kind: str, cluster: Any, small_run: Path, tmp_path: Path
) -> None:
    local = RunOptions(workers=1)
    expected = label(small_run, tmp_path / "one", local)
    if kind == "closed form":
        assert label(small_run, tmp_path / "two", replace(local, workers=2)) == expected
    stays = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    there = tmp_path / "there"
    with node_that_dies(cluster, there / "cache" / "labels", after=12 if kind == "closed form" else 2):
        found = label(small_run, there, replace(local, engine="ray", address=cluster.address))
    cluster.remove_node(stays)
    assert found == expected
    assert not (there / "cache" / "labels" / "unfinished").exists()
    assert not list((there / "cache" / "columns").glob("*")), "features of the run are left behind"
