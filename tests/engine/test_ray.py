"""The Ray engine on a real cluster of this machine: two nodes, one of which is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset import inspection
from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.engine.ray import RayEngine
from cleaner.errors import BadInputError, CleanerError
from cleaner.modeling import embeddings
from cleaner.modeling.backbones import load_backbone
from cleaner.stages.inputs import embed_rows
from cleaner.stages.scan import run_scan
from tests.support import waiting
from tests.support.backbones import SMALL
from tests.support.nodes import node_that_dies
from tests.support.program import Program
from tests.support.waiting import PATIENCE_S, wait_until

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'cleaner-images[ray]'")

for module in (sys.modules[__name__], waiting):  # no node has the tests installed
    ray.cloudpickle.register_pickle_by_value(module)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayEngine]:
    """The engine, with a node of one core that stays."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield RayEngine(cluster.address, 0)
    cluster.remove_node(node)


def square_and_note(task: tuple[int, str]) -> Arrays:
    number, folder = task
    (Path(folder) / f"{number}-{time.monotonic_ns()}").touch()
    time.sleep(0.05 if number % 3 == 0 else 0)  # so that later tasks finish first
    return {"square": np.array([number * number])}


def fail_at_five(number: int) -> Arrays:
    if number == 5:
        raise BadInputError("five.jpg: not liked", next_step="take it away")
    return {"square": np.array([number * number])}


def meet_on_nodes(task: tuple[int, str]) -> Arrays:
    """Waits until the other task runs, too; its node."""
    number, folder = task
    (Path(folder) / str(number)).touch()
    wait_until(lambda: len(list(Path(folder).iterdir())) == 2)
    return {"node": np.frombuffer(ray.get_runtime_context().get_node_id().encode(), np.uint8)}


def values(results: Any) -> list[int]:
    return [int(r["square"][0]) for r in results]


def test_results_come_in_order_and_finished_tasks_are_not_run_again(engine: RayEngine, tmp_path: Path) -> None:
    store, notes = ArrayStore(tmp_path / "store"), tmp_path / "notes"
    notes.mkdir()
    todo = [(f"task{i}", (i, str(notes))) for i in range(8)]
    assert values(engine.map(square_and_note, todo[:5], store=store)) == [0, 1, 4, 9, 16]
    store.path("task2").write_bytes(b"damaged")
    store.path("task3").unlink()
    assert values(engine.map(square_and_note, todo, store=store)) == [i * i for i in range(8)]
    runs = sorted(int(p.name.split("-")[0]) for p in notes.iterdir())
    assert runs == [0, 1, 2, 2, 3, 3, 4, 5, 6, 7]
    assert values(engine.map(square_and_note, todo)) == [i * i for i in range(8)]  # without a store, all again


def test_an_error_of_a_task_is_raised_as_it_was(engine: RayEngine, tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    with pytest.raises(BadInputError, match="not liked") as caught:
        values(engine.map(fail_at_five, [(f"task{i}", i) for i in range(20)], store=store))
    assert caught.value.next_step == "take it away" and caught.value.exit_code == 3
    assert {"task0", "task4"} <= set(store.stored_keys()) and "task5" not in store.stored_keys()


def test_results_that_cannot_be_seen_are_told(engine: RayEngine, tmp_path: Path) -> None:
    class Elsewhere(ArrayStore):
        """What the disk of another machine looks like from here."""

        def get(self, key: str) -> None:
            return None

    with pytest.raises(CleanerError, match="cannot be read from here") as caught:
        list(engine.map(fail_at_five, [("task0", 0)], store=Elsewhere(tmp_path)))
    assert "--storage" in caught.value.next_step


def test_nothing_listens_beyond_this_machine_and_a_token_is_wanted(engine: RayEngine, cluster: Any) -> None:
    assert os.environ["RAY_AUTH_MODE"] == "token" and os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    assert addresses == {"127.0.0.1"} and not ray._private.worker._global_node.webui_url
    code = f"from cleaner.engine.ray import RayEngine; RayEngine({cluster.address!r}, 0)"
    stranger = run_python(code, RAY_AUTH_TOKEN="f" * 32, RAY_NUM_REDIS_GET_RETRIES="1")
    assert stranger.returncode != 0 and "it refuses this token" in stranger.stderr.splitlines()[-2]


def test_a_node_killed_in_the_middle_changes_no_byte(
    cluster: Any, engine: RayEngine, small_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scan and embeddings, locally and on two nodes of which one dies during each."""
    monkeypatch.setattr(inspection, "BATCH_FILES", 8)
    monkeypatch.setattr(embeddings, "SHARD_SIZE", embeddings.BATCH_SIZE)
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    local = RunOptions(workers=1)
    remote = replace(local, engine="ray", address=cluster.address)
    run_scan(here, small_images / "images", ScanSettings(), local)
    with node_that_dies(cluster, there.cache / "scan", after=5):
        run_scan(there, small_images / "images", ScanSettings(), remote)
    manifests = [place.manifest_path("scan").read_bytes() for place in (here, there)]
    assert manifests[0] == manifests[1]
    rows = here.read("scan")
    rows = rows[rows["keep"]]
    backbone = load_backbone(SMALL.replace(image_size=64), "cpu")
    root = small_images / "images"
    expected = embed_rows(here, root, rows, [backbone], local)
    with node_that_dies(cluster, there.cache / "embeddings", after=1):
        found = embed_rows(there, root, rows, [backbone], remote)
    assert (found.plain == expected.plain).all() and (found.mirrored == expected.mirrored).all()
    stored = [sorted(p.name for p in (place.cache / "embeddings").rglob("*.arrays")) for place in (here, there)]
    assert stored[0] == stored[1] and len(stored[0]) > 2


def test_the_command_line_joins_a_cluster(
    cluster: Any, engine: RayEngine, small_images: Path, small_run: Path, program: Program
) -> None:
    shown = program("scan", small_images / "images", "-C", "work", "--address", cluster.address, "--json")
    assert shown.exit_code == 0, shown.err
    shown.document("stage")
    assert Path("work/scan/manifest.parquet").read_bytes() == (small_run / "scan" / "manifest.parquet").read_bytes()
    wrong = program("scan", small_images / "images", "-C", "work", "--engine", "dask")
    assert wrong.exit_code == 2 and "local or ray" in wrong.err


def test_both_nodes_work(cluster: Any, engine: RayEngine, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    tasks = [(f"t{i}", (i, str(tmp_path))) for i in range(2)]
    found = {r["node"].tobytes() for r in engine.map(meet_on_nodes, tasks)}
    cluster.remove_node(node)
    assert len(found) == 2


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "from cleaner.engine.ray import RayEngine; RayEngine('127.0.0.1:1', 0)"
    assert "127.0.0.1:1 does not answer" in run_python(code).stderr
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CleanerError, match="no token"):
        open_engine(RunOptions(engine="ray", address="10.0.0.1:6379"))
