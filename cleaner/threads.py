"""Work of several threads whose results come in order, so that what they add up to does not depend on their number."""

from __future__ import annotations

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
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for item in items:
            if len(waiting) == num_threads:
                first, result = waiting.popleft()
                found = result.result()
                waiting.append((item, pool.submit(function, item)))
                yield first, found
            else:
                waiting.append((item, pool.submit(function, item)))
        for first, result in waiting:
            yield first, result.result()
