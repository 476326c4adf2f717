"""Pictures of tests, and their bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from cleaner.dataset.thumbnails import Shrinker

MAX = 100_000_000


def picture(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A smooth colourful picture that has no symmetry."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


NO_PICTURES = Shrinker(1, max_pixels=1, file_timeout_s=30)
"""Refuses all."""
