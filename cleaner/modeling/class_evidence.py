"""How well each image fits its own class, any class, and its neighbours: ridge heads out of fold, nearest images."""

from __future__ import annotations

import numpy as np
import torch

from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import feature_moments, standardise

_RIDGE = 0.2
"""Penalty as a share of the number of training rows; 3,000 for 15,000 rows did well (docs/experiments.md)."""
_CHUNK = 2048
_NUM_NEIGHBOURS = 10
_MAX_REFERENCES = 10_000
"""Neighbours are looked for among this many images at most, evenly spaced: the time grows with images x references."""


class MeanViewFeatures:
    """Standardised features of the mean over the views: row numbers (n,) to (n, D) float32."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._mean, self._std = feature_moments(embeddings.plain)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Features (n, D) float32 of `rows` (n,)."""
        return self.tensor(rows).numpy()

    def tensor(self, rows: np.ndarray) -> torch.Tensor:
        """The same as a tensor."""
        return standardise(self._embeddings.mean(rows), self._mean, self._std)


def compute_class_evidence(
    features: MeanViewFeatures, targets: np.ndarray, fold: np.ndarray, num_classes: int, learns: np.ndarray
) -> np.ndarray:
    """Out-of-fold ridge scores of the given class and of the best class, each standardised over all rows.

    `targets` (N,) class numbers, -1 for a row without one (its own-class score is NaN); `fold` (N,) from 0;
    `learns` (N,) bool: rows to learn from; the others are only scored. Returns (N, 2) float32, higher fits better.
    Normal equations are summed once and each fold's share is subtracted, so memory is D x D per fold, never
    images x classes.
    """
    num_folds = int(fold.max()) + 1
    labelled = (targets >= 0) & learns
    parts = [
        _normal_equations(features, targets, np.flatnonzero(labelled & (fold == f)), num_classes)
        for f in range(num_folds)
    ]
    gram, cross = sum(p[0] for p in parts), sum(p[1] for p in parts)
    result = np.full((len(targets), 2), np.nan, np.float32)
    for f in range(num_folds):
        g, c = gram - parts[f][0], cross - parts[f][1]
        penalty = _RIDGE * max(1.0, float(g[-1, -1])) * torch.eye(len(g), dtype=g.dtype)
        weights = torch.linalg.solve(g + penalty, c).float()
        rows = np.flatnonzero(fold == f)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            scores = (_with_one(features.tensor(part)) @ weights).numpy()
            own = targets[part]
            result[part, 0] = np.where(own >= 0, scores[np.arange(len(part)), np.maximum(own, 0)], np.nan)
            result[part, 1] = scores.max(1)
    standard: np.ndarray = (result - np.nanmean(result, axis=0)) / np.maximum(np.nanstd(result, axis=0), 1e-6)
    return standard


def compute_neighbour_agreement(features: MeanViewFeatures, targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Share, 0 .. 1, of the ten nearest images that bear the most frequent label among them; (N,) float32.

    Nearness is the cosine of the standardised features. `targets` (N,) class numbers, -1 where a row has none: it is
    nobody's neighbour; `groups` (N,): rows that share a number are copies, and no neighbours. NaN where a set is too
    small.
    """
    labelled = np.flatnonzero(targets >= 0)
    spaced = np.linspace(0, len(labelled) - 1, min(len(labelled), _MAX_REFERENCES)).astype(np.int64)
    references = labelled[spaced]
    if len(references) <= 2 * _NUM_NEIGHBOURS:
        return np.full(len(targets), np.nan, np.float32)
    known = torch.cat([_unit(features.tensor(part)) for part in _chunks(references)])
    group, labels = torch.from_numpy(groups[references]), torch.from_numpy(targets[references])
    shares = []
    for part in _chunks(np.arange(len(targets))):
        cosines = _unit(features.tensor(part)) @ known.T
        cosines[torch.from_numpy(groups[part])[:, None] == group] = -2
        nearest = labels[cosines.topk(_NUM_NEIGHBOURS).indices]  # (B, 10)
        shares.append((nearest[:, :, None] == nearest[:, None, :]).sum(2).amax(1) / _NUM_NEIGHBOURS)
    agreement: np.ndarray = torch.cat(shares).float().numpy()
    return agreement


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=1)


def _normal_equations(
    features: MeanViewFeatures, targets: np.ndarray, rows: np.ndarray, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    dim = features.tensor(np.zeros(1, np.int64)).shape[1] + 1
    gram = torch.zeros(dim, dim, dtype=torch.float64)
    cross = torch.zeros(dim, num_classes, dtype=torch.float64)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        x = _with_one(features.tensor(part))
        gram += (x.T @ x).double()
        cross.index_add_(1, torch.from_numpy(targets[part]), x.T.double())
    return gram, cross


def _with_one(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1)
