"""What speaks for a noise image before anyone has said so: its fit to the classes, its neighbours, its file.

Each kind of evidence counts by its rank among all images, so that none outweighs the rest and no unit matters. Their
default weights were learned on unlike sets and hold on each set that was left out (`benchmarks/noise_decisions.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import expit, ndtri
from scipy.stats import rankdata

EVIDENCE = (
    "own_fit",
    "best_fit",
    "neighbour_agreement",
    "information",
    "num_colors",
    "flat_share",
    "aspect",
    "bytes_per_pixel",
    "num_pixels",
    "odd_mode",
    "is_png",
    "is_grey",
)
"""Columns of evidence, in the order in which arrays hold them: fit to the given and to the best class, share of the
nearest images that agree on one label, the looks that scan measured, and what the file says of itself."""
REASONS = {
    "content": "what it shows",
    "style": "its style",
    "own_fit": "its fit to its class",
    "best_fit": "its fit to any class",
    "neighbour_agreement": "its neighbours' labels",
    "information": "how much there is to see",
    "num_colors": "its number of colours",
    "flat_share": "its flat areas",
    "aspect": "its aspect ratio",
    "bytes_per_pixel": "its bytes a pixel",
    "num_pixels": "its size",
    "odd_mode": "its colour mode",
    "is_png": "its file format",
    "is_grey": "its lack of colour",
}
"""Values of `noise_reason` in words: the kinds of content, then EVIDENCE."""
DEFAULT_WEIGHTS = (-0.98, -0.23, -1.14, -0.64, -0.28, 0.34, -0.3, 0.95, 0.76, -0.83, 0.52, 0.14)
DEFAULT_OFFSET = -2.4
"""Log odds of noise at equal shares = ranks @ DEFAULT_WEIGHTS + DEFAULT_OFFSET."""
_FIRST_SHARE = 0.02
_SMALLEST_SHARE, _LARGEST_SHARE = 1e-6, 0.5
_MAX_STEPS = 500
_CHUNK_ROWS = 65_536
_TOLERANCE = 1e-7


def rank_evidence(columns: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """E columns of evidence (N,) float, NaN where unknown, as normal scores (N, E) float32; unknown: 0.

    Van der Waerden's scores. `shape`: N and E. One column is held at a time.
    """
    ranks = np.zeros(shape, np.float32)
    for number, column in enumerate(columns):
        known = np.isfinite(column)
        if known.any():
            ranks[known, number] = ndtri((rankdata(column[known]) - 0.5) / known.sum())
    return ranks


def default_log_odds(ranks: np.ndarray) -> np.ndarray:
    """Log odds of noise (N,) float at equal shares of noise and normal images, by `ranks` (N, E) of the evidence."""
    log_odds, weights = np.empty(len(ranks)), np.array(DEFAULT_WEIGHTS)
    for start in range(0, len(ranks), _CHUNK_ROWS):  # a product of float32 and float64 copies the former
        log_odds[start : start + _CHUNK_ROWS] = ranks[start : start + _CHUNK_ROWS] @ weights + DEFAULT_OFFSET
    return log_odds


def strongest_default(ranks: np.ndarray) -> np.ndarray:
    """The name in EVIDENCE, (n,) object, of what adds most to the default log odds of `ranks` (n, E)."""
    names: np.ndarray = np.array(EVIDENCE, object)[(ranks * np.array(DEFAULT_WEIGHTS)).argmax(1)]
    return names


def estimate_share(log_odds: np.ndarray) -> float:
    """Share of noise, 0 .. 0.5, in images with `log_odds` (n,) at equal shares, by expectation maximisation.

    Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities".
    """
    share = _FIRST_SHARE
    for _ in range(_MAX_STEPS):
        probs = expit(log_odds + _logit(share))
        before, share = share, float(np.clip(probs.mean(), _SMALLEST_SHARE, _LARGEST_SHARE))
        if abs(share - before) < _TOLERANCE:
            break
    return share


def to_probability(log_odds: np.ndarray, share: float) -> np.ndarray:
    """Probability of noise (n,) float32 from `log_odds` (n,) at equal shares and the `share` of noise."""
    probs: np.ndarray = expit(log_odds + _logit(share)).astype(np.float32)
    return probs


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
