"""The engine of a Ray cluster: runs tasks on all of its machines and marks each as done."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from cleaner.dataset.locations import is_remote
from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.engine.local import count_workers
from cleaner.errors import CleanerError
from cleaner.worker_pool import Rescue, WorkerDiedError, WorkerPool

T = TypeVar("T")
_TASKS_AHEAD = 3
"""Tasks submitted for each that can run at once: enough to keep nodes busy, few enough if the driver is lost."""
_MAX_RETRIES = 5
"""Losses of a worker or node that one task may have; after more, it is assumed to be the cause."""
_CONNECT_TIMEOUT_S = 10
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's own switch to bind its services to the loopback interface
    "RAY_enable_metrics_collection": "0",
    "GLOO_SOCKET_IFNAME": _LOOPBACK,
    "NCCL_SOCKET_IFNAME": _LOOPBACK,
}
"""Environment of a cluster on this machine alone."""
_TOKEN_PATH = Path(".ray") / "auth_token"


class RayEngine:
    """Tasks on a Ray cluster; see `cleaner.engine.engine.Engine`.

    Only arguments are sent (paths and ids, never pixels); results go to the store, which all nodes must reach. The
    tasks of a lost node run again elsewhere, unless their results are already stored.
    """

    is_cluster: ClassVar[bool] = True

    def __init__(self, address: str, workers: int) -> None:
        """Join the cluster at `address` (HOST:PORT or `auto`); '': one on this machine, which ends with this process.

        Without an address, `workers` cores are used (0: all). Raises CleanerError if Ray is not installed, the
        cluster does not answer, or a token is required and missing.
        """
        self._ray = _connect(address, workers)

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
        """Yield `function(argument)` for each (key, argument) of `tasks`, in their order; see `Engine.map`.

        With `rescue`, each of Ray's workers runs tasks in a process of its own, which may die.

        After an error the few submitted tasks are left to finish and store their results, or to end with this process:
        cancelling them by force crashes the driver if one is just finishing (Ray 2.60, task_manager.cc).
        """
        if rescue is not None:
            function = partial(_run_rescued, function, rescue)
        done = set(store.stored_keys()) if store is not None else set()
        cores = min(threads, self._cores_of_largest_node())
        submit = (
            self._ray.remote(_run_in_worker)
            .options(num_cpus=cores, num_gpus=int(gpu), max_retries=_MAX_RETRIES, scheduling_strategy="SPREAD")
            .remote
        )
        waiting: deque[tuple[str, T, Any]] = deque()
        rest = iter(tasks)
        while True:
            room = _TASKS_AHEAD * self._num_slots(cores, gpu) - len(waiting)
            for key, argument in itertools.islice(rest, max(room, 0)):
                waiting.append((key, argument, None if key in done else submit(function, key, argument, store)))
            if not waiting:
                return
            key, argument, reference = waiting.popleft()
            result = self._result(reference) if reference is not None else None
            if result is None and store is not None:
                result = _collect(store, key, function, argument, was_done=reference is None)
            assert result is not None
            yield result

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
        """See `Engine.run_group`; one worker is a plain task, several run under Ray Train.

        Ray Train's controller runs in a task as well, so that a lost node and Ctrl-C are handled as for any task.
        """
        if num_workers == 1:
            return next(self.map(function, [task], store=store, threads=threads, gpu=gpu))
        key, argument = task
        result = store.get(key)
        if result is None:
            cores = min(threads, self._cores_of_largest_node())
            self._require_room(num_workers, cores, gpu)
            resources = {"CPU": cores} | ({"GPU": 1} if gpu else {})
            submit = self._ray.remote(_train_together).options(num_cpus=0, max_retries=_MAX_RETRIES).remote
            self._result(submit(function, key, argument, store, num_workers, resources))
            result = _collect(store, key, function, argument, was_done=False)
        assert result is not None
        return result

    def _require_room(self, num_workers: int, cores: int, gpu: bool) -> None:
        """Raise CleanerError if the cluster is too small; Ray Train would wait forever."""
        room = self._num_slots(cores, gpu)
        if room < num_workers:
            raise CleanerError(
                f"no room on the Ray cluster for {num_workers} workers at once",
                expected=f"{num_workers} times {cores} cores{' and a GPU' if gpu else ''}",
                found=f"room for {room}",
                next_step="use fewer --train-workers, fewer threads (OMP_NUM_THREADS), or a larger cluster",
            )

    def _result(self, reference: Any) -> Arrays | None:
        try:
            result: Arrays | None = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)  # what the function raised
            if isinstance(cause, Exception) and not isinstance(cause, self._ray.exceptions.RayError):
                raise cause from None
            raise CleanerError(
                "a task failed on the Ray cluster",
                expected=f"this version of cleaner on all nodes, and at most {_MAX_RETRIES} lost nodes",
                found=f"{type(error).__name__}: {cause or error}".splitlines()[0],
                next_step="see `ray status`; then run the same command again: finished tasks are kept",
            ) from error
        return result

    def _cores_of_largest_node(self) -> int:
        cores = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        return max([1, *cores])

    def _num_slots(self, cores: int, gpu: bool) -> int:
        """How many tasks can run at once on the present nodes; at least 1."""
        there = self._ray.cluster_resources()
        slots = there.get("CPU", 0) // cores
        return max(1, int(min(slots, there.get("GPU", 0)) if gpu else slots))


def _run_rescued(function: Callable[[T], Arrays], rescue: Rescue[T], argument: T) -> Arrays:
    pool = _own_process(rescue.cpu_limit_s)
    try:
        return pool.call(function, argument)
    except WorkerDiedError:
        result: Arrays = rescue.run_parts(pool, function, argument)
        return result


@functools.cache
def _own_process(cpu_limit_s: float) -> WorkerPool:
    """One process beside a worker of Ray, for as long as that lives."""
    return WorkerPool(1, cpu_limit_s=cpu_limit_s)


def _run_in_worker(function: Callable[[T], Arrays], key: str, argument: T, store: ArrayStore | None) -> Arrays | None:
    """The result; None if it is in the store, perhaps from an attempt whose node was lost before it answered."""
    if store is None:
        return function(argument)
    if store.get(key) is None:
        store.put(key, function(argument))
    return None


def _train_together(
    function: Callable[[T], Arrays],
    key: str,
    argument: T,
    store: ArrayStore,
    num_workers: int,
    resources: dict[str, float],
) -> None:
    """Run a function on workers of Ray Train, the first of which stores its result.

    Lost workers are replaced here, not by Ray Train, which would also retry a user's errors.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, get_context
    from ray.train.torch import TorchTrainer

    def work() -> None:
        result = function(argument)
        if get_context().get_world_rank() == 0:
            store.put(key, result)

    on_gpu = "GPU" in resources
    scaling = ScalingConfig(num_workers=num_workers, use_gpu=on_gpu, resources_per_worker=resources)
    for attempt in range(_MAX_RETRIES + 1):
        run = RunConfig(name=f"{key}-{attempt}", failure_config=FailureConfig(max_failures=0), **_run_storage(store))
        try:
            TorchTrainer(work, scaling_config=scaling, run_config=run).fit()
            return
        except TrainingFailedError as error:
            for failure in getattr(error, "worker_failures", {}).values():
                cause = getattr(failure, "_base_exc", failure)  # what the function raised
                if isinstance(cause, CleanerError):
                    raise cause from None
            reason = str(error).strip().splitlines()[-1]
    raise CleanerError(
        "a training failed on the Ray cluster",
        expected=f"at most {_MAX_RETRIES} lost workers",
        found=reason,
        next_step="see `ray status`; then run the same command again: it continues from the last checkpoint",
    )


def _run_storage(store: ArrayStore) -> dict[str, Any]:
    """Where Ray Train keeps its records: beside the results, on storage that all nodes share."""
    place: Any = store.root / "ray_train"
    if not is_remote(place):
        return {"storage_path": str(place)}
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    return {"storage_path": place.path, "storage_filesystem": PyFileSystem(FSSpecHandler(place.fs))}


def _collect(
    store: ArrayStore, key: str, function: Callable[[T], Arrays], argument: T, *, was_done: bool
) -> Arrays | None:
    result = store.get(key)
    if result is None and was_done:  # a damaged result counts as none
        result = function(argument)
        store.put(key, result)
    if result is None:
        raise CleanerError(
            f"{store.root}: what a node wrote there cannot be read from here",
            expected="storage that all nodes share",
            next_step="use a workspace on a shared file system, or --storage URL (docs/scaling.md)",
        )
    return result


def _connect(address: str, workers: int) -> ModuleType:
    """The module `ray`, connected. Usage statistics off, token authentication on, no dashboard."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ["RAY_AUTH_MODE"] == "token" and not _has_token():
        if address:
            raise CleanerError(
                f"no token for the Ray cluster at {address}",
                expected="the cluster's token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
                next_step="copy it from the head node (docs/scaling.md)",
            )
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # it ends with this process, as the cluster does
    if not address:
        os.environ.update({name: os.environ.get(name, value) for name, value in _ALONE.items()})
    try:
        import ray
    except ImportError as error:
        raise CleanerError(
            "Ray is not installed", next_step='run `pip install "cleaner-images[ray]"`, or leave --engine at local'
        ) from error
    if ray.is_initialized():
        return ray
    _require_listener(address)
    alone: dict[str, Any] = {"num_cpus": count_workers(workers), "include_dashboard": False}
    where = {"address": address} if address else alone
    try:
        ray.init(**where, namespace="cleaner", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _no_answer(address, error) from error
    return ray


def _require_listener(address: str) -> None:
    """Check that something listens at `address`: without that, Ray ends the whole process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise _no_answer(address, error) from error


def _no_answer(address: str, error: Exception) -> CleanerError:
    reason = error.__cause__ or error
    is_refused = "AuthenticationError" in str(reason)
    found = "it refuses this token" if is_refused else f"{type(reason).__name__}: {reason}".splitlines()[0]
    return CleanerError(
        f"the Ray cluster at {address or 'this machine'} does not answer",
        found=found,
        next_step="run on a node of the cluster; see `ray status`, and docs/scaling.md for how to start one",
    )


def _has_token() -> bool:
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / _TOKEN_PATH).exists()
