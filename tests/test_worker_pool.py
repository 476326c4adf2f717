"""Processes that may die of what they run."""

from __future__ import annotations

import os
import pickle
import platform
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cleaner import worker_pool
from cleaner.errors import CleanerError
from cleaner.worker_pool import WorkerDiedError, WorkerPool
from tests.support.places import REPO
from tests.support.waiting import wait_until


def shout(words: str) -> int:
    os.write(1, words.encode())
    os.write(2, words.encode())
    sys.stderr.write(words)
    sys.stderr.flush()
    return os.getpid()


def end_of_file() -> None:
    raise EOFError("no more")


def hold_a_lock() -> None:
    error = ValueError("mine")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def leave_early(*_: object) -> None:
    os._exit(3)


def spin() -> None:
    while True:
        pass


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_dead_worker_is_named_by_its_signal_and_replaced(number: signal.Signals) -> None:
    with WorkerPool(1) as pool:
        first = pool.call(os.getpid)
        with pytest.raises(WorkerDiedError, match=number.name) as caught:
            pool.call(signal.raise_signal, number)
        assert caught.value.exit_code == -number and not caught.value.is_timeout
        assert pool.call(os.getpid) not in (first, os.getpid())


def test_a_call_has_its_cpu_time_and_no_more() -> None:
    with WorkerPool(1, cpu_limit_s=0.2) as pool:
        with pytest.raises(WorkerDiedError, match="CPU time") as caught:
            pool.call(spin)
        assert caught.value.is_timeout
        assert pool.call(abs, -2) == 2


def test_errors_of_calls_are_raised_and_the_worker_lives(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerPool(1) as pool:
        process = pool.call(shout, "libtiff: warning")
        for function, kind, words in (
            (end_of_file, EOFError, "no more"),
            (hold_a_lock, RuntimeError, "ValueError: mine"),
        ):
            with pytest.raises(kind, match=words):
                pool.call(function)
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            pool.call(len, [lambda: None])  # an argument that cannot be sent
        assert pool.call(os.getpid) == process
    assert capfd.readouterr() == ("", "")


def test_many_threads_share_few_workers() -> None:
    with WorkerPool(2) as pool:
        futures = [pool.submit(np.full, 300_000, i, np.uint8) for i in range(40)]
        assert [int(f.result()[-1]) for f in futures] == list(range(40))
        processes = {f.result() for f in [pool.submit(os.getpid) for _ in range(20)]}
        assert 1 <= len(processes) <= 2


def test_few_tasks_need_few_processes() -> None:
    with WorkerPool(8) as pool:
        assert len({pool.call(os.getpid) for _ in range(5)}) == 1


def test_the_end_of_the_block_ends_busy_workers() -> None:
    with WorkerPool(1) as pool:
        process = pool.call(os.getpid)
        busy = pool.submit(spin)
    with pytest.raises(WorkerDiedError):
        busy.result()
    wait_until(lambda: is_gone(process))
    with pytest.raises(WorkerDiedError):
        pool.call(abs, -1)


def test_workers_have_the_environment_as_it_is_when_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("first", "second"):
        monkeypatch.setenv("CREDENTIAL", value)
        with WorkerPool(1) as pool:
            assert pool.call(os.getenv, "CREDENTIAL") == value


def test_a_worker_that_cannot_start_is_no_crash_of_what_it_was_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_serve", leave_early)
    with WorkerPool(1) as pool, pytest.raises(CleanerError, match="could not start") as caught:
        pool.call(abs, -1)
    assert "exit code 3" in caught.value.found


PROGRAM = """
import cleaner.dataset.inspection
from cleaner.worker_pool import WorkerPool
if __name__ == "__main__":
    with WorkerPool(1) as pool:
        assert pool.call(abs, -3) == 3
"""


def test_workers_load_no_module_of_the_current_folder(tmp_path: Path) -> None:
    for name in ("numpy.py", "PIL.py", "cleaner.py"):
        (tmp_path / "here" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "here" / name).write_text("open('loaded', 'w').close()\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"} | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, str(tmp_path / "program.py")]
    subprocess.run(command, cwd=tmp_path / "here", env=environment, check=True)
    assert not (tmp_path / "here" / "loaded").exists()


UNGUARDED = """
import sys
from cleaner.worker_pool import WorkerPool
print("started")
with WorkerPool(1) as pool:
    found = pool.call(eval, "[name for name in ('colorsys', 'PIL') if name in __import__('sys').modules]")
print(found, sys.modules["__main__"].WorkerPool is WorkerPool)
"""


def test_the_program_is_not_run_again_in_workers(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import colorsys" + UNGUARDED)
    command = [sys.executable, str(program)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(REPO)}, check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.splitlines() == ["started", "[] True"]


def count_faults(num_bytes: int) -> list[int]:
    """Page faults of each of three times that a buffer is made and given back."""
    faults = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(num_bytes, np.uint8)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return faults


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides by itself")
def test_workers_keep_the_buffers_of_a_picture_for_the_next_one() -> None:
    with WorkerPool(1) as pool:
        first, _, last = pool.call(count_faults, 2 << 20)
    assert last < first / 10
