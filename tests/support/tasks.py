"""Functions that engines run over tasks; processes of their own import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.worker_pool import restart_clock
from tests.support.waiting import PATIENCE_S


def square(number: int) -> Arrays:
    time.sleep(0.02 if number % 3 == 0 else 0)  # so that later tasks finish first
    return {"square": np.array([number * number])}


def square_and_note(task: tuple[int, str]) -> Arrays:
    number, folder = task
    (Path(folder) / f"{number}-{time.monotonic_ns()}").touch()
    return square(number)


def fail_at_five(number: int) -> Arrays:
    if number == 5:
        raise ValueError("five is not liked")
    return square(number)


def die_at_five(number: int) -> Arrays:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def note_and_sleep(folder: str) -> Arrays:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(PATIENCE_S)
    return square(0)


def die_first_time(task: tuple[int, str]) -> Arrays:
    number, folder = task
    note = Path(folder) / f"died-{number}"
    if number % 4 == 1 and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


CRASHES, HANGS = 5, 7


def square_all(numbers: tuple[int, ...]) -> Arrays:
    """Squares, but one of the numbers is a crash in C and another an endless loop."""
    for number in numbers:
        restart_clock()
        if number == CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
        while number == HANGS:
            pass
    return {"square": np.array([n * n for n in numbers])}
