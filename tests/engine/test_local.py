from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cleaner.dataset.store import ArrayStore
from cleaner.engine.local import count_workers, map_tasks
from cleaner.errors import CleanerError
from tests.support.places import REPO
from tests.support.tasks import die_at_five, fail_at_five, square, square_and_note
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


def test_a_worker_that_dies_is_told_and_hangs_nothing(tmp_path: Path) -> None:
    with pytest.raises(CleanerError, match="worker process died") as caught:
        values(map_tasks(die_at_five, tasks(40), workers=2, store=ArrayStore(tmp_path)))
    assert "--workers" in caught.value.next_step


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
