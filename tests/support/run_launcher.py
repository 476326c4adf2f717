"""Starts `cleaner` many times for one import of torch: a process that forks a child for each run. Not a test.

Reads orders from stdin, one JSON document a line, and answers each with one line:
`{"code": exit code or minus the signal, "stderr": text}`. An order holds `argv`, and may hold `count_below`, a folder
(the answer then has `operations`, their number below it), and `kill_at`, the event at which the child gets SIGKILL, or
`interrupt_at`, the same with SIGINT:

- {"task": beginning of a task's name, "after": n}: n units of it are done;
- {"say": beginning of a message}: the message is about to be shown;
- {"record": stage}: the stage's files are written, and its record is about to be put in its place;
- {"stage": stage, "operation": n}: the n-th operation on a file of the workspace is about to happen, counted from the
  first in the stage's folder;
- {"below": folder, "operation": n}: the n-th operation on a file below the folder, or statement to a database, is about
  to happen;
- {"step": n}: the n-th step of an optimizer is about to be taken.

All of them are events in the run itself, so that none depends on how fast the machine is.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


def serve() -> None:
    import cleaner.cli.app
    import cleaner.stages.balance
    import cleaner.stages.labels.label_issues
    import cleaner.stages.noise_images
    import cleaner.stages.scan  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as stderr, tempfile.TemporaryFile() as count:
        pid = os.fork()
        if pid == 0:
            _child(order, stderr.fileno(), count.fileno())
        status = os.waitpid(pid, 0)[1]
        stderr.seek(0)
        answer = {"code": os.waitstatus_to_exitcode(status), "stderr": stderr.read().decode()}
        return answer | ({"operations": os.fstat(count.fileno()).st_size} if "count_below" in order else {})


def _child(order: dict[str, Any], stderr: int, count: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(stderr, 2)
    code = 1
    try:
        from cleaner.cli.app import main

        for name, number in (("kill_at", signal.SIGKILL), ("interrupt_at", signal.SIGINT)):
            if name in order:
                _arm(order[name], number, order["argv"])
        if "count_below" in order:
            _at_each_operation(f"{order['count_below']}/", lambda path: os.write(count, b"."))
        sys.argv = ["cleaner", *order["argv"]]
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _arm(point: dict[str, Any], number: signal.Signals, argv: list[str]) -> None:
    """Have this process sent a signal at `point`."""

    def strike() -> None:
        os.kill(os.getpid(), number)

    if "step" in point:
        _strike_at_step(point["step"], strike)
    elif "say" in point:
        _strike_at_message(point["say"], strike)
    elif "task" in point:
        _strike_in_task(point["task"], point["after"], strike)
    elif "below" in point:
        _strike_at_operation(point["below"], "", point["operation"], strike)
    else:
        workspace = argv[argv.index("-C") + 1]
        if "record" in point:
            _strike_at_record(f"{workspace}/{point['record']}/stage.json", strike)
        else:
            _strike_at_operation(workspace, point["stage"], point["operation"], strike)


def _strike_at_step(step: int, strike: Callable[[], None]) -> None:
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    count = itertools.count(1)

    def before_step(*_: Any) -> None:
        if next(count) == step:
            strike()

    register_optimizer_step_pre_hook(before_step)


def _strike_at_message(beginning: str, strike: Callable[[], None]) -> None:
    from cleaner.cli.console import Console

    say = Console.say

    def striking_say(self: Console, message: str) -> None:
        if message.strip().startswith(beginning):
            strike()
        say(self, message)

    Console.say = striking_say  # type: ignore[method-assign]


def _strike_in_task(beginning: str, after: int, strike: Callable[[], None]) -> None:
    from cleaner.cli.console import Console

    class Task:
        def __init__(self, armed: bool) -> None:
            self.num_done, self.armed = 0, armed

        def advance(self, num: int = 1) -> None:
            self.num_done += num
            if self.armed and self.num_done >= after:
                strike()

    @contextmanager
    def task(self: Console, name: str, total: int) -> Iterator[Task]:
        sys.stderr.write(f"{name}\n")
        yield Task(name.startswith(beginning))

    Console.task = task  # type: ignore[method-assign]


def _strike_at_record(record: str, strike: Callable[[], None]) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and str(arguments[1]) == record:
            strike()

    sys.addaudithook(hook)


def _strike_at_operation(folder: str, first: str, operation: int, strike: Callable[[], None]) -> None:
    """Count from the first operation below `folder`/`first` on."""
    num_seen = 0

    def operate(path: str) -> None:
        nonlocal num_seen
        if num_seen or path.startswith(f"{folder}/{first}"):
            num_seen += 1
            if num_seen == operation:
                strike()

    _at_each_operation(f"{folder}/", operate)


def _at_each_operation(beginning: str, operate: Callable[[str], object]) -> None:
    """Call `operate(path)` before each change of a file whose path begins so, or statement to a database there."""
    databases: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect":
            databases.append(str(arguments[0]).removeprefix("file:"))
        elif event == "sqlite3.connect/handle" and databases[-1].startswith(beginning):
            arguments[0].set_trace_callback(partial(lambda path, _: operate(path), databases[-1]))
        else:
            path = _changed_path(event, arguments)
            if path.startswith(beginning):
                operate(path)

    sys.addaudithook(hook)


def _changed_path(event: str, arguments: tuple[Any, ...]) -> str:
    """The file or folder that an audit event is about to change; empty for all other events."""
    if event == "open":
        path, _, flags = arguments
        return str(path) if flags & (os.O_WRONLY | os.O_RDWR) else ""
    if event == "os.rename":
        return str(arguments[1])
    return str(arguments[0]) if event in ("os.mkdir", "os.remove") else ""


if __name__ == "__main__":
    serve()
