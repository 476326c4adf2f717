"""Starts `cleaner` many times for one import of torch: a process that forks a child for each run. Not a test.

Reads orders from stdin, one JSON document a line, and answers each with one line:
`{"code": exit code or minus the signal, "stderr": text}`. An order holds `argv`, and may hold `kill_at`, where the
child gets SIGKILL: {"task": beginning of a task's name, "after": units}, {"say": beginning of a message},
{"record": stage} (its manifest is written, its record is not), {"stage": stage, "after_s": seconds of it}, or
{"step": n} (the n-th training step of a whole network is about to be taken);
`interrupt_at` is the same with SIGINT.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def serve() -> None:
    import cleaner.cli.app
    import cleaner.stages.balance
    import cleaner.stages.labels.run
    import cleaner.stages.noise
    import cleaner.stages.scan  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as stderr:
        pid = os.fork()
        if pid == 0:
            _child(order, stderr.fileno())
        status = os.waitpid(pid, 0)[1]
        stderr.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "stderr": stderr.read().decode()}


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
    from cleaner.stages.stage_run import StageResult, StageRun

    def strike() -> None:
        os.kill(os.getpid(), number)

    if "record" in point:
        write = StageRun.complete_files

        def complete_files(self: StageRun[Any], *arguments: Any, **named: Any) -> StageResult:
            if self.stage == point["record"]:
                strike()
            return write(self, *arguments, **named)

        StageRun.complete_files = complete_files  # type: ignore[method-assign]
    elif "stage" in point:
        look = StageRun.current

        def current(self: StageRun[Any]) -> StageResult | None:
            result = look(self)
            if self.stage == point["stage"] and result is None:
                threading.Timer(point["after_s"], strike).start()
            return result

        StageRun.current = current  # type: ignore[method-assign]
    elif "step" in point:
        from cleaner.modeling.training import Trainer

        take_step, taken = Trainer._take_step, itertools.count(1)

        def striking_step(self: Trainer, *arguments: Any) -> float:
            if next(taken) == point["step"]:
                strike()
            return take_step(self, *arguments)

        Trainer._take_step = striking_step  # type: ignore[method-assign]
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
