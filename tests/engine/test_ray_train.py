"""`train` on a Ray cluster: as one task, and by two workers of Ray Train, one of which is killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import load_file

from cleaner.config import RunOptions, TrainSettings
from cleaner.dataset.locations import locate
from cleaner.dataset.store import ArrayStore, sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.engine.ray import RayEngine
from cleaner.errors import CleanerError
from cleaner.stages.train import run_train
from tests.support.program import Program
from tests.support.trained import ARGUMENTS, OPTIONS, make_balanced, settings

pytest.importorskip("ray", reason="ray is not installed: pip install 'cleaner-images[ray]'")

FILES = ("model.safetensors", "metrics.json", "classes.csv", "pr_curves.csv", "class_map.json")
MIXED = settings(recipe="cutmix", freeze_norm=True, epochs=4, patience=4)
"""CutMix, whose pairs two workers must share; frozen statistics, for a CPU has no batch norm over several workers."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_balanced(tmp_path_factory.mktemp("train"))


@pytest.fixture
def work(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn / "work", tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def two_cores(cluster: Any) -> Iterator[RunOptions]:
    """Options of the cluster with two nodes of one core."""
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    yield replace(OPTIONS, engine="ray", address=cluster.address)
    for node in nodes:
        cluster.remove_node(node)


def train(root: Path, settings: TrainSettings, options: RunOptions) -> dict[str, str]:
    run_train(Workspace(root), settings, options)
    return {name: sha256_file(root / "train" / name) for name in FILES}


def copies(root: Path, *names: str) -> list[Path]:
    return [Path(shutil.copytree(root, root.with_name(name))) for name in names]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pids_of_train_workers() -> list[int]:
    """Processes of Ray Train's workers below this one, by the titles that Ray gives them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            pid = int(path.parent.name)
            is_worker = path.read_bytes().startswith(b"ray::RayTrainWorker")
            if is_worker and parent_of(parent_of(pid)) == os.getpid():  # above it, its node; above that, the test
                found.append(pid)
    return found


@contextmanager
def a_worker_killed(folder: Path, *, at_step: int) -> Iterator[list[int]]:
    """One of the workers is killed once there is a checkpoint of this step; yields its process id, and that step."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not killed and not over.wait(0.01):
            try:
                step = int(json.loads((folder / "state.json").read_text())["step"])
            except (OSError, ValueError):
                continue
            workers = pids_of_train_workers()
            if step >= at_step and workers:
                killed.extend([max(workers), step])
                os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_as_a_task_it_gives_the_bytes_of_a_local_run(two_cores: RunOptions, work: Path) -> None:
    here, there = copies(work, "here", "there")
    expected = train(here, settings(epochs=3, patience=2), OPTIONS)
    assert train(there, settings(epochs=3, patience=2), two_cores) == expected
    assert not (there / "cache" / "training").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to find a worker in")
def test_two_workers_of_whom_one_is_killed_take_the_steps_of_one(
    two_cores: RunOptions, work: Path, program: Program, tmp_path: Path
) -> None:
    here, there = copies(work, "here", "there")
    train(here, MIXED, OPTIONS)
    with a_worker_killed(tmp_path / "results" / "training", at_step=7) as lost:
        done = program(
            "train",
            "-C",
            there,
            *ARGUMENTS,
            "--recipe",
            "cutmix",
            "--freeze-norm",
            "--epochs",
            4,
            "--patience",
            4,
            "--engine",
            "ray",
            "--address",
            two_cores.address,
            "--train-workers",
            2,
            "--storage",
            tmp_path / "results",
        )
    assert done.exit_code == 0 and "accuracy" in done.out, done.err
    assert lost and 7 <= lost[1] < 4 * 7, "it was done before a worker was killed"
    one, two = (json.loads((root / "train" / "metrics.json").read_text()) for root in (here, there))
    np.testing.assert_allclose(two["training_loss"], one["training_loss"], rtol=1e-5)
    assert two["accuracy"] == one["accuracy"] > 0.5
    weights, others = (load_file(root / "train" / "model.safetensors") for root in (here, tmp_path / "results"))
    assert weights.keys() == others.keys()
    for name, values in weights.items():
        np.testing.assert_allclose(others[name], values, atol=1e-5, err_msg=name)
    assert not (tmp_path / "results" / "training").exists()


def test_what_goes_wrong_is_told(two_cores: RunOptions, work: Path, tmp_path: Path, program: Program) -> None:
    engine, function, store = RayEngine(two_cores.address, 0), cast(Any, locate), ArrayStore(tmp_path)
    with pytest.raises(CleanerError, match="no room on the Ray cluster for 3 workers") as caught:
        engine.run_group(function, ("key", "nosuchstore://bucket"), store=store, num_workers=3)
    assert "--train-workers" in caught.value.next_step
    with pytest.raises(CleanerError, match="cannot be opened"):
        engine.run_group(function, ("key", "nosuchstore://bucket"), store=store, num_workers=2)
    assert len(list((tmp_path / "ray_train").iterdir())) <= 1, "a user's error was tried again"
    assert program("train", *ARGUMENTS, "-C", work, "--train-workers", 2).exit_code == 2
