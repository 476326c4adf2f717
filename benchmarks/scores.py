"""How well a flag finds what is truly there: what several benchmarks share."""

from __future__ import annotations

import numpy as np


def precision_recall_f1(found: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean of `found` (n,) bool against `true` (n,) bool; 0 where undefined."""
    hits, num_found, num_true = int((found & true).sum()), int(found.sum()), int(true.sum())
    return hits / max(1, num_found), hits / max(1, num_true), 2 * hits / max(1, num_found + num_true)
