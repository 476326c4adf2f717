"""How long work tells what it does. The command line draws it; a library user gets silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

log = logging.getLogger("cleaner")


class Task(Protocol):
    """One bar: `advance(n)` says that n more units are done."""

    def advance(self, num: int = 1) -> None:
        """Count `num` more finished units."""


class Progress(Protocol):
    """Where a stage reports to."""

    def task(self, name: str, total: int) -> AbstractContextManager[Task]:
        """Open a bar of `total` units for the time of a `with` block."""

    def say(self, message: str) -> None:
        """Show a line of result that stays on the screen."""

    def warn(self, message: str) -> None:
        """Show a warning that stays on the screen."""


class _SilentTask:
    def advance(self, num: int = 1) -> None:
        pass


class Silent:
    """Progress for library use: messages go to the logger `cleaner`, bars nowhere."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """Open a bar that nobody sees."""
        yield _SilentTask()

    def say(self, message: str) -> None:
        """Log at level INFO."""
        log.info(message)

    def warn(self, message: str) -> None:
        """Log at level WARNING."""
        log.warning(message)
