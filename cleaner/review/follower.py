"""A model that follows people's decisions while they look."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from cleaner.review.ledger import Ledger

Fit = TypeVar("Fit")


class Follower(ABC, Generic[Fit]):
    """Fits anew when something was decided since the last fit. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fit: Fit | None = None
        self.version = -1
        """The `seq` of the last decision that the fit knows."""

    def follow(self, ledger: Ledger) -> Fit:
        """The fit to all that people have decided so far; no work if nothing was decided since the last one."""
        with self._lock:
            version = ledger.version
            if self._fit is None or version != self.version:
                self._fit = self._make_fit(ledger)
                self.version = version
            return self._fit

    @abstractmethod
    def _make_fit(self, ledger: Ledger) -> Fit:
        """The fit to the decisions in `ledger`."""
