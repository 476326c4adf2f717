"""The engine of one machine: runs tasks in processes and marks each as done."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeVar

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.errors import CleanerError
from cleaner.worker_pool import Rescue, WorkerDiedError, WorkerPool

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
        rescue: Rescue[T] | None = None,
    ) -> Iterator[Arrays]:
        """See `map_tasks`; nothing is reserved for a task."""
        return map_tasks(function, tasks, workers=self.workers, store=store, rescue=rescue)

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
    rescue: Rescue[T] | None = None,
) -> Iterator[Arrays]:
    """Yield `function(argument)` for each (key, argument) of `tasks`, in their order.

    With a `store`, a worker stores each result under its task's key, which marks the task as done: it is not run again.
    `workers` processes (0: one for each core) run the rest. `function` must be importable and, like the arguments,
    picklable. An error that `function` raises is raised here.

    A task whose worker dies runs again in a new one. If that dies too, CleanerError is raised. With `rescue`, the parts
    of the task run one by one instead, and its result is joined from theirs, whichever of them end their workers.
    Without `rescue`, a single worker or task runs in this process. Closing the generator, or Ctrl-C, ends the workers
    at once.
    """
    done = set(store.stored_keys()) if store is not None else set()
    num_workers = min(count_workers(workers), sum(key not in done for key, _ in tasks))
    if num_workers == 0 or (num_workers == 1 and rescue is None):
        for key, argument in tasks:
            stored = _stored(store, key, done)
            yield stored if stored is not None else _run(function, key, argument, store)
        return
    with WorkerPool(num_workers, cpu_limit_s=rescue.cpu_limit_s if rescue is not None else 0) as pool:
        run_again = partial(_run_again, pool, function, store, rescue)
        waiting: deque[tuple[str, T, Future[Arrays | None] | None]] = deque()
        rest = iter(tasks)
        while True:
            for key, argument in itertools.islice(rest, num_workers * _TASKS_AHEAD - len(waiting)):
                future = None if key in done else pool.submit(_run_in_worker, function, key, argument, store)
                waiting.append((key, argument, future))
            if not waiting:
                return
            key, argument, future = waiting.popleft()
            try:
                result = future.result() if future is not None else None
            except WorkerDiedError:
                result = run_again(key, argument)
            if result is None:
                result = _stored(store, key, {key})
            # a damaged result counts as none
            yield result if result is not None else run_again(key, argument)


def _run_again(
    pool: WorkerPool,
    function: Callable[[T], Arrays],
    store: ArrayStore | None,
    rescue: Rescue[T] | None,
    key: str,
    argument: T,
) -> Arrays:
    """The result of a task that has none yet, computed by a worker that may die of it."""
    if rescue is None:
        try:
            result = pool.call(function, argument)
        except WorkerDiedError as error:
            raise _worker_died(pool, error) from error
    else:
        result = rescue.run_parts(pool, function, argument)
    if store is not None:
        store.put(key, result)
    return result


def _worker_died(pool: WorkerPool, error: WorkerDiedError) -> CleanerError:
    fewer = "run the same command again with fewer --workers" if pool.num_workers > 2 else "free memory, then run again"
    return CleanerError(
        "a worker process died, and so did the one that ran its task again",
        expected=f"{pool.num_workers} workers alive until the work is done",
        found=f"{error}; most often the system does that for lack of memory",
        next_step=f"{fewer}: finished tasks are kept",
    )


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
