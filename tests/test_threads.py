"""Work in threads: the order of its results, how much of it is begun, and what becomes of errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cleaner.threads import map_in_threads, num_arithmetic_threads


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_results_come_in_order(num_threads: int) -> None:
    late = threading.Event()

    def square(number: int) -> int:
        if number == 0 and num_threads > 1:
            late.wait(60)  # the first is done last of those that are begun with it
        elif number == num_threads - 1:
            late.set()
        return number**2

    assert list(map_in_threads(square, range(12), num_threads)) == [(n, n**2) for n in range(12)]
    assert list(map_in_threads(square, [], num_threads)) == []


def test_no_more_is_taken_than_threads() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_threads(str, items(), 3)
    for number in range(10):
        assert next(results) == (number, str(number))
        assert len(taken) <= number + 1 + 3


@pytest.mark.parametrize("num_threads", [1, 4])
def test_an_error_of_the_function_is_raised_where_its_result_would_come(num_threads: int) -> None:
    results = map_in_threads(lambda n: 12 // n, [3, 2, 0, 1], num_threads)
    assert [next(results), next(results)] == [(3, 4), (2, 6)]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_one_thread_is_the_callers_own() -> None:
    assert dict(map_in_threads(lambda _: threading.current_thread(), [1, 2], 1)) == dict.fromkeys(
        [1, 2], threading.current_thread()
    )


def test_a_limit_on_arithmetic_counts() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(1, "blas"):
        assert num_arithmetic_threads() == 1
