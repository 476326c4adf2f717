"""Processes that run functions, one call at a time: a decoder that crashes or hangs ends its own, which is replaced.

Workers are forked from a server process that has loaded little (multiprocessing's forkserver), so that a new one takes
about ten milliseconds; the program that was started is not run again in them, whatever it would load. What is printed
in them goes nowhere: decoders in C write to stderr as they like.
"""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.connection
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import ModuleType, TracebackType
from typing import Any, Generic, Self, TypeVar

from cleaner.errors import CleanerError
from cleaner.freed_memory import keep_freed_memory

R = TypeVar("R")
T = TypeVar("T")

_CONTEXT = multiprocessing.get_context("forkserver")
_DECODING = ("cleaner.dataset.inspection", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "safetensors.numpy")
"""Modules that the server loads for all workers, if this process has the first of them."""
_CHANGING = threading.Lock()
"""Held while a process starts or is waited for: multiprocessing looks at all of them then, and only one may."""
_KEPT_BYTES = 32 << 20
"""Freed buffers that a worker keeps for the next picture: getting them anew took a fifth of a photo's time."""
_cpu_limit_s = 0.0


class WorkerDiedError(Exception):
    """A worker process ended in the midst of a call; its exit code is minus the signal, as in subprocess."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code

    @property
    def is_timeout(self) -> bool:
        """Whether the call took more CPU time than the pool allows."""
        return self.exit_code == -signal.SIGPROF

    def __str__(self) -> str:
        if self.is_timeout:
            return "it used up its CPU time"
        if self.exit_code < 0:
            return f"it was ended by {signal.Signals(-self.exit_code).name}"
        return f"it ended with exit code {self.exit_code}"


@dataclass(frozen=True)
class Rescue(Generic[T]):
    """How a task survives the death of its worker: its parts run alone, and one that kills again gets a result too."""

    split: Callable[[T], Sequence[T]]
    """The smallest tasks that a task consists of."""
    give_up: Callable[[T, WorkerDiedError], Any]
    """The result of a smallest task that ended its worker."""
    join: Callable[[Sequence[Any]], Any]
    """The result of the whole task from those of its parts."""
    cpu_limit_s: float = 0.0
    """Seconds of CPU until `restart_clock` is called again; 0: no limit."""

    def run_parts(self, pool: WorkerPool, function: Callable[[T], Any], argument: T) -> Any:
        """The joined result of the parts of a task, each alone in a worker of `pool`."""
        results = []
        for part, future in [(part, pool.submit(function, part)) for part in self.split(argument)]:
            try:
                results.append(future.result())
            except WorkerDiedError as error:
                results.append(self.give_up(part, error))
        return self.join(results)


class WorkerPool:
    """Up to `num_workers` processes, started when they are needed; they end when this one does, however it ends.

    With `cpu_limit_s`, a call that uses more seconds of CPU since it began, or since its last `restart_clock`, ends
    its worker. As a context manager, it kills its workers at the end of the block.
    """

    def __init__(self, num_workers: int, *, cpu_limit_s: float = 0.0) -> None:
        self.num_workers = num_workers
        self._workers = [_Worker(cpu_limit_s) for _ in range(num_workers)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()  # last in, first out: few tasks need few processes
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="worker")
        self._is_killed = False
        atexit.register(self.kill)  # before multiprocessing's own, which waits for children that wait for work

    def call(self, function: Callable[..., R], *arguments: Any) -> R:
        """`function(*arguments)`, computed by a worker while this thread waits.

        `function` must be importable from a module (not the program itself) and, like the arguments, picklable. Raises
        what it raises, or WorkerDiedError if the worker ends; the next call then has a new one. Raises
        CleanerError if no worker can start.
        """
        worker = self._idle.get()
        try:
            if self._is_killed:
                raise WorkerDiedError(-signal.SIGKILL)
            result: R = worker.call(function, arguments)
            return result
        finally:
            self._idle.put(worker)

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """The future of a `call`."""
        return self._threads.submit(self.call, function, *arguments)

    def kill(self) -> None:
        """End the workers at once, busy or not."""
        self._is_killed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        atexit.unregister(self.kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def restart_clock() -> None:
    """Give the rest of this call its whole CPU time anew; nothing happens outside of a worker with a limit."""
    if _cpu_limit_s:
        # the signal's default action ends the process even in the midst of a C function, which no handler could
        signal.setitimer(signal.ITIMER_PROF, _cpu_limit_s)


class _Worker:
    """The place of one process; used by one thread at a time, but for `kill`."""

    def __init__(self, cpu_limit_s: float) -> None:
        self._cpu_limit_s = cpu_limit_s
        self._process: Any = None
        self._connection: Any = None

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        order = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
        if self._process is None:
            self._start()
        try:
            self._connection.send_bytes(order)
            result, error = pickle.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError):
            raise WorkerDiedError(self._reap()) from None
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        process = self._process
        if process is not None:
            process.kill()

    def _start(self) -> None:
        _CONTEXT.set_forkserver_preload([*_DECODING] if _DECODING[0] in sys.modules else [])
        self._connection, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs, self._cpu_limit_s, dict(os.environ)))
        with _CHANGING, _safe_path(), _hidden_program():
            process.start()
        theirs.close()  # so that the worker's end is the last one, and its death shows
        self._process = process
        try:
            self._connection.recv_bytes()
        except (EOFError, ConnectionError):
            raise CleanerError(
                "out of memory: a worker process could not start",
                found=str(WorkerDiedError(self._reap())),
                next_step="use fewer --workers, end other programs or raise the limit (ulimit -v), then run again",
            ) from None

    def _reap(self) -> int:
        process, self._process = self._process, None
        self._connection.close()
        with _CHANGING:
            process.join()
        return int(process.exitcode)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the server of workers, which Python starts with -c, from loading modules that lie in the current folder."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _hidden_program() -> Iterator[None]:
    """Keep multiprocessing from running this program's file again in a new worker, as it does for functions in it."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _serve(connection: Connection, cpu_limit_s: float, environment: dict[str, str]) -> None:
    """A worker's life: calls, until the other end is closed."""
    os.environ.update(environment)  # the server that it was forked from has that of its own start
    global _cpu_limit_s
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    _leave_with_parent()
    keep_freed_memory(_KEPT_BYTES)
    _cpu_limit_s = cpu_limit_s
    connection.send_bytes(b"ready")  # what ends it before this is no call's fault
    while True:
        try:
            order = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        restart_clock()
        answer = _answer(order)
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(answer)


def _answer(order: bytes) -> bytes:
    """What a pickled call returns, or the error that it raises, pickled."""
    try:
        function, arguments = pickle.loads(order)
        return pickle.dumps((function(*arguments), None), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        trace = f"in a worker process:\n{traceback.format_exc()}"
        error.add_note(trace)
        try:
            return pickle.dumps((None, error))
        except Exception:  # an error that holds what cannot be pickled
            return pickle.dumps((None, RuntimeError(trace)))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def leave() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)  # the parent may be gone while this process computes

    threading.Thread(target=leave, daemon=True).start()
