"""Vectors of length 1, whose products are cosines."""

from __future__ import annotations

import numpy as np

_TINY = 1e-9


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows (n, D) float, each scaled to a norm of 1; a row of zeros stays one."""
    unit: np.ndarray = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _TINY)
    return unit
