from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.engine.local import count_workers, map_tasks
from cleaner.errors import CleanerError
from cleaner.worker_pool import Rescue, WorkerDiedError
from tests.support.places import REPO
from tests.support.tasks import (
    CRASHES,
    HANGS,
    die_at_five,
    die_first_time,
    fail_at_five,
    square,
    square_all,
    square_and_note,
)
from tests.support.waiting import PATIENCE_S, wait_until


def tasks(num: int) -> list[tuple[str, int]]:
    return [(f"task{i}", i) for i in range(num)]


def values(results: object) -> list[int]:
    return [int(r["square"][0]) for r in results]  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("with_store", [False, True])
def test_results_come_in_order(tmp_path: Path, workers: int, with_store: bool) -> None:
    store = ArrayStore(tmp_path) if with_store else None
    expected = [i * i for i in range(23)]
    assert values(map_tasks(square, tasks(23), workers=workers, store=store)) == expected
    assert values(map_tasks(square, [], workers=workers, store=store)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_finished_tasks_are_not_run_again(tmp_path: Path, workers: int) -> None:
    store, notes = ArrayStore(tmp_path / "store"), tmp_path / "notes"
    notes.mkdir()
    todo = [(f"task{i}", (i, str(notes))) for i in range(8)]
    values(map_tasks(square_and_note, todo[:5], workers=workers, store=store))
    store.path("task2").write_bytes(b"damaged")
    store.path("task3").unlink()
    assert values(map_tasks(square_and_note, todo, workers=workers, store=store)) == [i * i for i in range(8)]
    runs = sorted(int(p.name.split("-")[0]) for p in notes.iterdir())
    assert runs == [0, 1, 2, 2, 3, 3, 4, 5, 6, 7]
    assert store.get("task2") is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_is_raised_and_the_finished_ones_are_kept(tmp_path: Path, workers: int) -> None:
    store = ArrayStore(tmp_path)
    with pytest.raises(ValueError, match="five is not liked"):
        values(map_tasks(fail_at_five, tasks(40), workers=workers, store=store))
    assert {"task0", "task1", "task4"} <= set(store.stored_keys())
    assert "task5" not in store.stored_keys()


@pytest.mark.parametrize(("workers", "advice"), [(2, "free memory"), (3, "fewer --workers")])
def test_a_task_whose_workers_die_twice_is_told_and_hangs_nothing(tmp_path: Path, workers: int, advice: str) -> None:
    with pytest.raises(CleanerError, match="worker process died") as caught:
        values(map_tasks(die_at_five, tasks(40), workers=workers, store=ArrayStore(tmp_path)))
    assert "SIGKILL" in caught.value.found and advice in caught.value.next_step


@pytest.mark.parametrize("with_store", [False, True])
def test_a_task_whose_worker_dies_runs_again_in_a_new_one(tmp_path: Path, with_store: bool) -> None:
    store = ArrayStore(tmp_path / "store") if with_store else None
    todo = [(f"task{i}", (i, str(tmp_path))) for i in range(10)]
    assert values(map_tasks(die_first_time, todo, workers=2, store=store)) == [i * i for i in range(10)]
    assert len(list(tmp_path.glob("died-*"))) == 3
    assert store is None or len(store.stored_keys()) == 10


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rescued_task_keeps_all_its_parts_but_those_that_kill(tmp_path: Path, workers: int) -> None:
    batches = [(f"batch{i}", tuple(range(i, i + 4))) for i in range(0, 12, 4)]
    codes: dict[int, int] = {}

    def give_up(part: tuple[int, ...], error: WorkerDiedError) -> Arrays:
        codes[part[0]] = error.exit_code
        return {"square": np.array([-1])}

    rescue = Rescue[tuple[int, ...]](
        split=lambda batch: [(number,) for number in batch],
        give_up=give_up,
        join=lambda parts: {"square": np.concatenate([p["square"] for p in parts])},
        cpu_limit_s=0.2,
    )
    store = ArrayStore(tmp_path)
    found = [r["square"] for r in map_tasks(square_all, batches, workers=workers, store=store, rescue=rescue)]
    expected = np.arange(12) ** 2
    expected[[CRASHES, HANGS]] = -1
    assert np.concatenate(found).tolist() == expected.tolist()
    assert codes == {CRASHES: -signal.SIGSEGV, HANGS: -signal.SIGPROF}
    again = [r["square"].tolist() for r in map_tasks(square_all, batches, workers=workers, store=store, rescue=rescue)]
    assert again == [f.tolist() for f in found], "stored, and not run again"
    assert len(codes) == 2


def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    results = map_tasks(square_and_note, [(f"task{i}", (i, str(tmp_path))) for i in range(500)], workers=2)
    next(results)
    results.close()
    wait_until(lambda: set(multiprocessing.active_children()) <= before)
    assert len(list(tmp_path.iterdir())) < 50, "what was not asked for was done"


PROGRAM = """
import sys
from tests.support.tasks import note_and_sleep
from cleaner.engine.local import map_tasks
if __name__ == "__main__":
    try:
        list(map_tasks(note_and_sleep, [(str(i), sys.argv[1]) for i in range(8)], workers=2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def processes_of_group(group: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    program, begun = tmp_path / "program.py", tmp_path / "begun"
    program.write_text(PROGRAM)
    begun.mkdir()
    command = [sys.executable, str(program), str(begun)]
    parent = subprocess.Popen(command, start_new_session=True, env=os.environ | {"PYTHONPATH": str(REPO)})
    wait_until(lambda: len(list(begun.iterdir())) == 2 or parent.poll() is not None)
    assert len(processes_of_group(parent.pid)) >= 3
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)  # as Ctrl-C does: to the parent and its workers
    else:
        parent.kill()
    assert parent.wait(PATIENCE_S) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: processes_of_group(parent.pid) == [])


def test_workers_default_to_the_cores_at_hand() -> None:
    assert count_workers(3) == 3
    assert 1 <= count_workers(0) <= (os.cpu_count() or 1)
