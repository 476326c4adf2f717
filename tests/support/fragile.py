"""A decoder that crashes or hangs over pictures of chosen sizes; workers import it from here."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

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
