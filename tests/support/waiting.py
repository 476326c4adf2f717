"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 300
"""After this long something hangs; no machine is so slow."""


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.01)
