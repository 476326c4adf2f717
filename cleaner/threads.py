"""Work of several threads whose results come in order, so that what they add up to does not depend on their number."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_info

T = TypeVar("T")
R = TypeVar("R")


def num_arithmetic_threads() -> int:
    """Threads that numpy's products take, at least 1: the cores there are, or what OMP_NUM_THREADS says."""
    return max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)


def map_in_threads(function: Callable[[T], R], items: Iterable[T], num_threads: int) -> Iterator[tuple[T, R]]:
    """Each item and `function` of it, in their order; no more than `num_threads` results wait or are in the making.

    One thread is the caller's own. After an error, of the function or of the caller, what has begun is waited for.
    """
    if num_threads <= 1:
        for item in items:
            yield item, function(item)
        return
    rest = iter(items)
    with ThreadPoolExecutor(num_threads) as pool:

        def begin(num: int) -> list[tuple[T, Future[R]]]:
            return [(item, pool.submit(function, item)) for item in itertools.islice(rest, num)]

        waiting = deque(begin(num_threads))
        while waiting:
            item, future = waiting.popleft()
            result = future.result()
            waiting.extend(begin(1))
            yield item, result
