"""The seam between what is done and where: an engine runs a function over tasks and remembers which are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from cleaner.config import RunOptions
from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.engine.local import LocalEngine

T = TypeVar("T")


class Engine(Protocol):
    """Where tasks run."""

    @property
    def is_cluster(self) -> bool:
        """Whether tasks may run on other machines, so that what they need must be within their arguments' reach."""

    def map(
        self,
        function: Callable[[T], Arrays],
        tasks: Sequence[tuple[str, T]],
        *,
        store: ArrayStore | None = None,
        threads: int = 1,
        gpu: bool = False,
    ) -> Iterator[Arrays]:
        """Yield `function(argument)` for each (key, argument) of `tasks`, in their order.

        With a `store`, whoever has a result puts it under the task's key: that is the completion mark, and a task
        whose key is there is not run again. `threads` cores and, with `gpu`, one GPU are set aside for a task where
        the engine hands out machines. `function` must be importable and, like the arguments, picklable. An error
        that `function` raises is raised here; a worker that dies for good raises CleanerError.
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
        """`function(argument)` of one (key, argument), which `num_workers` processes compute together.

        Each of them calls the function, and where there are several torch.distributed's process group joins them;
        the first one's result counts, and is kept in the store as by `map`. If one is lost, all begin anew: the
        function has to find its own checkpoints. Raises what `map` does.
        """


def open_engine(options: RunOptions) -> Engine:
    """The engine that the options of a run name. Raises CleanerError where Ray is absent or its cluster not there."""
    if options.engine == "ray":
        from cleaner.engine.ray import RayEngine

        return RayEngine(options.address, options.workers)
    return LocalEngine(options.workers)
