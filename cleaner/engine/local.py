"""The engine of one machine: runs tasks in processes and marks each as done."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.errors import CleanerError

T = TypeVar("T")
_TASKS_AHEAD = 3
"""Tasks submitted per worker: enough to keep it busy, few enough that results do not pile up."""


def count_workers(workers: int) -> int:
    """The number of processes for the option `workers`; 0: one for each core that this process may use."""
    if workers > 0:
        return workers
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


@dataclass(frozen=True)
class LocalEngine:
    """The engine of this machine; see `cleaner.engine.engine.Engine`."""

    workers: int
    """Processes; 0: one for each core."""
    is_cluster: ClassVar[bool] = False

    def map(
        self,
        function: Callable[[T], Arrays],
        tasks: Sequence[tuple[str, T]],
        *,
        store: ArrayStore | None = None,
        threads: int = 1,
        gpu: bool = False,
    ) -> Iterator[Arrays]:
        """See `map_tasks`; nothing is reserved for a task."""
        return map_tasks(function, tasks, workers=self.workers, store=store)

    def run_group(
        self,
        function: Callable[[T], Arrays],
        task: tuple[str, T],
        *,
        store: ArrayStore,
        num_workers: int,
        threads: int = 1,
        gpu: bool = False,
    ) -> Arrays:
        """See `Engine.run_group`; the group is this process."""
        assert num_workers == 1, "checked by RunOptions"
        return next(self.map(function, [task], store=store))


def map_tasks(
    function: Callable[[T], Arrays],
    tasks: Sequence[tuple[str, T]],
    *,
    workers: int,
    store: ArrayStore | None = None,
) -> Iterator[Arrays]:
    """Yield `function(argument)` for each (key, argument) of `tasks`, in their order.

    With a `store`, a worker stores each result under its task's key, which marks the task as done: it is not run again.
    `workers` processes (0: one for each core) run the rest; a single worker or task runs in this process. `function`
    must be importable and, like the arguments, picklable. An error that `function` raises is raised here; a worker
    that dies raises CleanerError. Closing the generator, or Ctrl-C, ends the workers at once.
    """
    done = set(store.stored_keys()) if store is not None else set()
    pending = [task for task in tasks if task[0] not in done]
    num_workers = min(count_workers(workers), len(pending))
    if num_workers <= 1:
        for key, argument in tasks:
            stored = _stored(store, key, done)
            yield stored if stored is not None else _run(function, key, argument, store)
        return
    pool = _Pool(num_workers)
    try:
        yield from _in_order(pool, function, tasks, store, done)
        pool.close()
    except BrokenProcessPool as error:
        raise CleanerError(
            "a worker process died",
            expected=f"{num_workers} workers alive until the work is done",
            found="the system killed it, most often for lack of memory",
            next_step="run the same command again with fewer --workers: finished tasks are kept",
        ) from error
    finally:
        pool.kill()


def _in_order(
    pool: _Pool,
    function: Callable[[T], Arrays],
    tasks: Sequence[tuple[str, T]],
    store: ArrayStore | None,
    done: set[str],
) -> Iterator[Arrays]:
    waiting: deque[tuple[str, T, Future[Arrays | None] | None]] = deque()
    rest = iter(tasks)
    while True:
        for key, argument in itertools.islice(rest, pool.num_workers * _TASKS_AHEAD - len(waiting)):
            future = None if key in done else pool.submit(_run_in_worker, function, key, argument, store)
            waiting.append((key, argument, future))
        if not waiting:
            return
        key, argument, future = waiting.popleft()
        result = future.result() if future is not None else None
        if result is None:
            result = _stored(store, key, {key})
        # a damaged result counts as none: the task is run again, here
        yield result if result is not None else _run(function, key, argument, store)


def _stored(store: ArrayStore | None, key: str, done: set[str]) -> Arrays | None:
    return store.get(key) if store is not None and key in done else None


def _run(function: Callable[[T], Arrays], key: str, argument: T, store: ArrayStore | None) -> Arrays:
    result = function(argument)
    if store is not None:
        store.put(key, result)
    return result


def _run_in_worker(function: Callable[[T], Arrays], key: str, argument: T, store: ArrayStore | None) -> Arrays | None:
    """The result, or None if it is in the store, so that large arrays need not go through a pipe."""
    result = _run(function, key, argument, store)
    return result if store is None else None


class _Pool:
    """Worker processes that end when this one does, however it ends."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._before = {child.pid for child in multiprocessing.active_children()}
        # spawn, because fork copies locks that running threads hold
        self._executor = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), _start_worker)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._executor.submit(function, *arguments)

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def kill(self) -> None:
        """Kill the workers that still run; after `close` there are none."""
        for child in multiprocessing.active_children():
            if child.pid not in self._before:
                child.kill()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def leave_with_parent() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)  # a killed parent closes no queues: without this, workers would wait forever

    threading.Thread(target=leave_with_parent, daemon=True).start()
