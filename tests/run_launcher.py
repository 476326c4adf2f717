"""Starts `cleaner` many times for one import of torch: a process that forks a child for each run. Not a test.

Reads orders from stdin, one JSON document a line, and answers each with one line:
`{"code": exit code or minus the signal, "stderr": text, "seconds": wall time}`. An order holds `argv`, and may hold
`kill_at`: {"task": beginning of a task's name, "after": units} or {"say": beginning of a message} or
{"record": stage}, where the child ends itself by SIGKILL; `kill_after_s` or `interrupt_at` (like `kill_at`, SIGINT).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def serve() -> None:
    import cleaner.cli.app
    import cleaner.stages.balance
    import cleaner.stages.labels
    import cleaner.stages.noise
    import cleaner.stages.scan  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryFile() as stderr:
        pid = os.fork()
        if pid == 0:
            _child(order, stderr.fileno())
        if "kill_after_s" in order:
            _wait(pid, order["kill_after_s"])
        status = os.waitpid(pid, 0)[1] if _alive(pid) else _ENDED.pop(pid)
        stderr.seek(0)
        text = stderr.read().decode()
    return {"code": os.waitstatus_to_exitcode(status), "stderr": text, "seconds": time.monotonic() - started}


_ENDED: dict[int, int] = {}


def _alive(pid: int) -> bool:
    return pid not in _ENDED


def _wait(pid: int, seconds: float) -> None:
    """Kill the child after `seconds`, unless it ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _ENDED[pid] = status
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)


def _child(order: dict[str, Any], stderr: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(stderr, 2)
    for name, number in (("kill_at", signal.SIGKILL), ("interrupt_at", signal.SIGINT)):
        if name in order:
            _arm(order[name], number)
    sys.argv = ["cleaner", *order["argv"]]
    code = 1
    try:
        from cleaner.cli.app import main

        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _arm(point: dict[str, Any], number: signal.Signals) -> None:
    """Make the progress display (or the writing of a stage's record) send this process a signal at `point`."""
    from cleaner.cli.console import Console
    from cleaner.dataset.workspace import StageRecord, Workspace

    def strike() -> None:
        os.kill(os.getpid(), number)

    if "record" in point:
        write = Workspace.write_record

        def write_record(self: Workspace, record: StageRecord, files: list[str]) -> StageRecord:
            if record.stage == point["record"]:
                strike()
            return write(self, record, files)

        Workspace.write_record = write_record  # type: ignore[method-assign]
    elif "say" in point:
        say = Console.say

        def striking_say(self: Console, message: str) -> None:
            if message.strip().startswith(point["say"]):
                strike()
            say(self, message)

        Console.say = striking_say  # type: ignore[method-assign]
    else:

        class Task:
            def __init__(self, armed: bool) -> None:
                self.num_done, self.armed = 0, armed

            def advance(self, num: int = 1) -> None:
                self.num_done += num
                if self.armed and self.num_done >= point["after"]:
                    strike()

        @contextmanager
        def task(self: Console, name: str, total: int) -> Iterator[Task]:
            sys.stderr.write(f"{name}\n")
            yield Task(name.startswith(point["task"]))

        Console.task = task  # type: ignore[method-assign]


if __name__ == "__main__":
    serve()
