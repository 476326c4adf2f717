"""Whole networks trained on a Ray cluster: folds and rounds as tasks, one of whose nodes is killed in mid-fold."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleaner.config import EmbeddingSettings, LabelsSettings, RunOptions
from cleaner.dataset.locations import locate
from cleaner.dataset.store import sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.engine.local import LocalEngine
from cleaner.errors import BackboneError
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.finetune import FinetuneLearner, LearnerPlan, load_learner
from cleaner.modeling.model_tasks import ClusterLearner, ModelTask, WorkerPlan, fit_model, load_cluster_learner
from cleaner.modeling.recipes import ROUND_RECIPES
from cleaner.progress import Silent
from cleaner.stages.labels.run import run_labels
from tests.support.finetuned import FOLDS, OUTPUTS, make_embedding
from tests.support.nodes import files_below
from tests.support.planted import single_job

pytest.importorskip("ray", reason="ray is not installed: pip install 'cleaner-images[ray]'")
LONG = tuple(replace(recipe, epochs=10, augment=(("mirror", 0.5),)) for recipe in ROUND_RECIPES)
"""So many short epochs that there is a middle in which a node can die."""


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSettings:
    return make_embedding(tmp_path_factory.mktemp("weights"))


def label(root: Path, embedding: EmbeddingSettings, options: RunOptions) -> dict[str, str]:
    """Digests of what `labels` writes with whole networks, one cross-training and one round."""
    settings = LabelsSettings(
        learner="finetune", folds=FOLDS, top_k=(1,), max_rounds=1, rule="recipe", embedding=embedding
    )
    run_labels(Workspace(root), settings, options)
    return {name: sha256_file(root / "labels" / name) for name in OUTPUTS}


def scanned(source: Path, root: Path) -> Path:
    """A copy of a workspace without labels, and without what they left in the cache."""
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("labels", "balance", "pixels"))
    return root


@contextmanager
def steps_watched(folder: Path) -> Iterator[dict[str, list[int]]]:
    """The steps that the checkpoints of each model below `folder` name one after the other, by the model's folder."""
    seen: dict[str, list[int]] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            for path in files_below(folder, "state.json"):
                with suppress(OSError, ValueError):
                    step = int(json.loads(path.read_text())["step"])
                    seen.setdefault(path.relative_to(folder).parent.as_posix(), []).append(step)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def test_a_node_killed_in_mid_fold_changes_no_byte_and_costs_no_epoch(
    cluster: Any, small_run: Path, embedding: EmbeddingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for learner in (FinetuneLearner, ClusterLearner):
        monkeypatch.setattr(learner, "recipes", LONG)
    local = RunOptions(workers=1, device="cpu")
    expected = label(scanned(small_run, tmp_path / "here"), embedding, local)
    there = scanned(small_run, tmp_path / "there")
    left = there / "cache" / "labels" / "unfinished"
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    with steps_watched(left) as steps, ThreadPoolExecutor(1) as pool:
        found = pool.submit(label, there, embedding, replace(local, engine="ray", address=cluster.address))
        while not steps and not found.done():  # until the only node that takes tasks is in the middle of a model
            time.sleep(0.01)
        cluster.remove_node(node, allow_graceful=False)
        another = cluster.add_node(num_cpus=2)
        found.exception()  # wait for it
        cluster.remove_node(another)
    assert found.result() == expected
    assert not left.exists() and len(list((there / "cache" / "labels").glob("*.arrays"))) == 2
    assert len(steps) == FOLDS + 1
    assert all(seen == sorted(seen) for seen in steps.values()), "a model began anew"


def test_behind_a_url_each_machine_decodes_for_itself_and_this_one_only_to_predict(
    small_images: Path, embedding: EmbeddingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("upath", reason="universal-pathlib is not installed: pip install 'cleaner-images[ray]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    paths = [p for p in sorted((small_images / "images").rglob("*.jpg")) if p.stat().st_size]
    ids, targets = [sha256_file(p) for p in paths], np.arange(len(paths)) % 4
    storage = locate("memory://results")
    plan = LearnerPlan(tuple(ids), tuple(map(str, paths)), 4, embedding, "cpu", str(tmp_path / "here"))
    here = load_learner(plan, workers=1, progress=Silent())
    there = load_cluster_learner(
        replace(plan, cache=str(storage)),
        own_cache=tmp_path / "own",
        workers=1,
        progress=Silent(),
        engine_map=LocalEngine(1).map,
    )
    assert there.identity == here.identity and there.card == here.card
    rows = np.arange(len(paths))

    def fit(learner: Any, folder: Path | None, on_epoch: Callable[[], None] = lambda: None) -> Any:
        images, recipe = FoldedRows(rows, targets, rows % 2, np.ones(len(rows))), replace(ROUND_RECIPES[0], epochs=2)
        return cross_train(learner, images, recipe, seed=0, checkpoint_dir=folder, on_epoch=on_epoch)

    epochs: list[int] = []
    expected, models = fit(here, None)
    found, same_models = fit(there, storage / "fit", lambda: epochs.append(1))
    for name, values in expected.arrays().items():
        assert np.array_equal(found.arrays()[name], values, equal_nan=True), name
    assert len(epochs) == 2 and not (tmp_path / "own").exists() and len(list((tmp_path / "node").rglob("*.npy"))) == 1
    assert len(list((storage / "fit").glob("*.arrays"))) == len(list((storage / "fit").rglob("state.json"))) == 2
    fit(there, storage / "fit")  # from the marks
    one, other = (np.concatenate([p for _, p in m[0].predict(rows)]) for m in (models, same_models))
    assert np.array_equal(one, other) and len(list((tmp_path / "own").rglob("*.npy"))) == 1


def test_a_node_with_another_network_is_told(small_images: Path, embedding: EmbeddingSettings, tmp_path: Path) -> None:
    paths = sorted((small_images / "images").rglob("*.jpg"))[:8]
    ids = tuple(sha256_file(p) for p in paths)
    plan = LearnerPlan(ids, tuple(map(str, paths)), 2, embedding, "cpu", str(tmp_path))
    (job,) = single_job(np.arange(8), np.arange(8) % 2, 2, ROUND_RECIPES[0], seed=0).models()
    with pytest.raises(BackboneError, match="not that of the machine that asked"):
        fit_model(ModelTask(WorkerPlan(plan, 1, identity="another"), job, None))
