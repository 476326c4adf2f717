"""Measures a picture's quality by its pixels; scoring/image_quality.py judges the numbers."""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMB_PX = 64
"""Longer side of the grey thumbnail: blur that is invisible at this size does not harm a classifier either."""
_SAME_LEVEL = 1.0  # a difference of one grey level may be rounding
_WEIGHTS = np.array([0.241, 0.691, 0.068], dtype=np.float32)  # perceived brightness (Finley), as cleanvision has it
_SQUARES = (np.arange(256, dtype=np.float32) / np.float32(255)) ** 2


def measure_quality(grey: Image.Image, sample: np.ndarray) -> dict[str, float]:
    """The quality columns of `ImageFacts` that come from pixels.

    `grey` is the picture in mode L at any size with its aspect kept (it is only ever reduced here); `sample` (h, w, 3)
    uint8 are some of its pixels, not interpolated.
    """
    scale = THUMB_PX / max(grey.size)
    if scale < 1:
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    thumb = np.asarray(grey, dtype=np.float32)  # (h, w)
    levels = np.sort(brightness(sample), axis=None)  # np.percentile takes twice as long
    low, high = levels[len(levels) * 5 // 100], levels[len(levels) * 99 // 100]
    return {
        "sharpness": compute_sharpness(thumb),
        "flat_share": compute_flat_share(thumb),
        "brightness_low": float(low),
        "brightness_high": float(high),
        "information": compute_information(sample),
    }


def brightness(pixels: np.ndarray) -> np.ndarray:
    """Perceived brightness (h, w) float32, 0..1, of RGB `pixels` (h, w, 3) uint8."""
    result: np.ndarray = np.sqrt(_SQUARES[pixels] @ _WEIGHTS)
    return result


def compute_sharpness(grey: np.ndarray) -> float:
    """Standard deviation of the Laplacian over that of the greys (h, w); higher is sharper, NaN if there is no edge.

    As a ratio it does not depend on contrast. About 0.7 for photographs at 64 px, below 0.2 for those blurred by
    a Gaussian of 1.5 px or more at that size. 0..8.9; NaN below 3 pixels a side or for a uniform picture.
    """
    if min(grey.shape) < 3:
        return float("nan")
    contrast = float(grey.std())
    if contrast < 1:  # in grey levels; the rest is rounding
        return float("nan")
    middle = grey[1:-1, 1:-1]
    laplacian = 4 * middle - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.std()) / contrast


def compute_flat_share(grey: np.ndarray) -> float:
    """Share 0..1 of neighbours of greys (h, w), 0..255, that are equal: high for drawings, screenshots and blanks."""
    steps = np.concatenate([np.abs(np.diff(grey, axis=axis)).ravel() for axis in (0, 1)])
    return float((steps <= _SAME_LEVEL).mean()) if len(steps) else 1.0


def compute_information(pixels: np.ndarray) -> float:
    """Entropy in bits, 0..8, of the grey levels of RGB `pixels` (h, w, 3) uint8."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return max(0.0, float(-(shares * np.log2(shares)).sum()))
