"""The interface of engines, which run a function over tasks, here or elsewhere, and remember which are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from cleaner.config import RunOptions
from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.engine.local import LocalEngine
from cleaner.worker_pool import Rescue

T = TypeVar("T")


class Engine(Protocol):
    """Runs tasks."""

    @property
    def is_cluster(self) -> bool:
        """Whether tasks may run on other machines, which must then be able to reach everything that arguments name."""

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
        """Yield `function(argument)` for each (key, argument) of `tasks`, in their order.

        With a `store`, each result is stored under its task's key, which marks the task as done: it is not run again.
        An engine that schedules machines reserves `threads` cores and, with `gpu`, one GPU for each task. `function`
        must be importable and, like the arguments, picklable. An error that `function` raises is raised here; a worker
        that is lost for good raises CleanerError, unless `rescue` says how the task goes on without it.
        """

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
        """`function(argument)` of one (key, argument), computed by `num_workers` processes together.

        Each of them calls the function; if there are several, they form a process group of torch.distributed. The
        first one's result is returned, and stored as by `map`. If one is lost, all start again: the function has to
        find its own checkpoints. Raises the same errors as `map`.
        """


def open_engine(options: RunOptions) -> Engine:
    """The engine that a run's options name. Raises CleanerError if Ray is not installed or its cluster is not there."""
    if options.engine == "ray":
        from cleaner.engine.ray import RayEngine

        return RayEngine(options.address, options.workers)
    return LocalEngine(options.workers)
