"""A decoder that crashes or hangs over pictures of chosen sizes; workers import it from here."""

from __future__ import annotations

import os
import signal
from typing import Any

from PIL import Image

from cleaner.dataset import images, inspection, pixels
from cleaner.dataset.store import Arrays

CRASHING = (97, 71)
HANGING = (95, 73)


def fragile_decode(image: Any) -> Image.Image:
    if image.size == CRASHING:
        os.kill(os.getpid(), signal.SIGSEGV)
    while image.size == HANGING:
        pass
    return pixels.decode(image)


def inspect_batch(batch: inspection.Batch) -> Arrays:
    """`inspection.inspect_batch` in a worker, whose decoder it replaces."""
    images.decode = fragile_decode  # type: ignore[attr-defined]
    return inspection.inspect_batch(batch)
