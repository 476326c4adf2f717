"""How well a flag finds what is truly there: what several benchmarks share."""

from __future__ import annotations

import numpy as np


def precision_recall_f1(found: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean of `found` (n,) bool against `true` (n,) bool; 0 where undefined."""
    hits, num_found, num_true = int((found & true).sum()), int(found.sum()), int(true.sum())
    return hits / max(1, num_found), hits / max(1, num_true), 2 * hits / max(1, num_found + num_true)


CLEANLAB_FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)
"""What `cleanlab.filter.find_label_issues` can filter by, its default first."""


def best_f1(score: np.ndarray, true: np.ndarray) -> float:
    """The best F1 of flagging by `score` (n,), larger first, at any threshold; NaN where nothing is true."""
    if not true.any():
        return float("nan")
    hits = np.cumsum(true[np.argsort(-score, kind="stable")])
    return float((2 * hits / (np.arange(1, len(true) + 1) + true.sum())).max())
