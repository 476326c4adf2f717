"""A decoder that crashes or hangs over pictures of chosen sizes, in worker processes or in a whole program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cleaner import worker_pool
from cleaner.dataset import images, inspection, pixels
from cleaner.dataset.store import Arrays

CRASHING = (97, 71)
HANGING = (95, 73)


def fragile_read(data: bytes, kind: str, *arguments: Any, **options: Any) -> pixels.Picture:
    size = pixels.open_image(data, kind).size
    if size == CRASHING:
        os.kill(os.getpid(), signal.SIGSEGV)
    while size == HANGING:
        pass
    return pixels.read_picture(data, kind, *arguments, **options)


def decode_upright(data: bytes, path: str | Path, least_px: int) -> np.ndarray:
    """`images.decode_upright` in a worker, whose decoder it replaces."""
    images.read_picture = fragile_read  # type: ignore[assignment]
    return images.decode_upright(data, path, least_px)


def decode_rgb(data: bytes, path: str | Path, size_px: int) -> np.ndarray:
    """`images.decode_rgb`, likewise."""
    images.read_picture = fragile_read  # type: ignore[assignment]
    return images.decode_rgb(data, path, size_px)


def inspect_batch(batch: inspection.Batch) -> Arrays:
    """`inspection.inspect_batch` in a worker, whose decoder it replaces."""
    images.read_picture = fragile_read  # type: ignore[assignment]
    return inspection.inspect_batch(batch)


def look_at_batch(batch: Any) -> Arrays:
    """`near_looks.look_at_batch`, likewise."""
    from cleaner.stages import near_looks  # slow to load, and the clock of the other functions runs

    images.read_picture = fragile_read  # type: ignore[assignment]
    return near_looks.look_at_batch(batch)


def spoil() -> None:
    """Replace the decoder in all modules of this process."""
    for name, module in list(sys.modules.items()):
        if name.startswith("cleaner.") and name != pixels.__name__ and hasattr(module, "read_picture"):
            module.read_picture = fragile_read  # type: ignore[attr-defined]


def spoiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, in a worker whose decoder is replaced."""
    spoil()
    return function(*arguments)


def spoil_workers() -> Callable[..., Any]:
    """Have every worker of this process decode so; returns what `_Worker.call` was."""
    call = worker_pool._Worker.call

    def call_spoiled(self: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return call(self, spoiled, (function, *arguments))

    worker_pool._Worker.call = call_spoiled  # type: ignore[method-assign]
    return call


def main() -> None:
    """The command line, whose own process and workers decode so."""
    from cleaner.cli import app

    spoil_workers()
    spoil()
    app.main()
