"""How well each image fits its own class, any class, and its neighbours: ridge heads out of fold, nearest images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import feature_moments, standardise

_RIDGE = 0.2
"""Penalty as a share of the number of training rows; 3,000 for 15,000 rows did well (docs/experiments.md)."""
_CHUNK = 2048
_NUM_NEIGHBOURS = 10
MAX_REFERENCES = 10_000
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

    @property
    def moments(self) -> np.ndarray:
        """(2, D) float32: mean and deviation by which they are standardised."""
        return torch.stack([self._mean, self._std]).numpy()


@dataclass(frozen=True)
class ClassFit:
    """How well N images fit classes, and the ridge head that says so of images that were not among them."""

    scores: np.ndarray
    """(N, 2) float32: of the given class (NaN without one) and of the best, standardised over the N; higher is better.
    """
    head: np.ndarray
    """(D + 1, K) float32: weights, the constant's last, of the head that learned from all labelled rows."""
    moments: np.ndarray
    """(2, 2) float32: mean and deviation of the two scores before they were standardised."""

    def judge(self, features: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Scores (n, 2) float32 of other images with `features` (n, D) under `targets` (n,), -1: no class."""
        scores = _two_scores(features @ self.head[:-1] + self.head[-1], targets)
        standard: np.ndarray = (scores - self.moments[0]) / self.moments[1]
        return standard


@dataclass(frozen=True)
class Neighbours:
    """The labelled images among which those nearest to another one are looked for."""

    directions: np.ndarray
    """(m, D) int8: features in steps of a 127th of each row's largest: only their direction counts."""
    labels: np.ndarray
    """(m,) int64."""

    @classmethod
    def of(cls, features: MeanViewFeatures, targets: np.ndarray) -> Neighbours:
        """Those of images with these `targets` (N,), -1 where an image is nobody's neighbour."""
        rows = _references(targets)
        parts = [features(part) for part in _chunks(rows)]
        steps = [np.rint(x * (127 / np.maximum(np.abs(x).max(1, keepdims=True), 1e-9))).astype(np.int8) for x in parts]
        return cls(np.concatenate([np.zeros((0, features.moments.shape[1]), np.int8), *steps]), targets[rows])

    def judge(self, features: np.ndarray) -> np.ndarray:
        """As `compute_neighbour_agreement`, for other images with `features` (n, D)."""
        if len(self.labels) <= 2 * _NUM_NEIGHBOURS:
            return np.full(len(features), np.nan, np.float32)
        known = _unit(torch.from_numpy(self.directions).float())
        cosines = _unit(torch.from_numpy(features)) @ known.T
        return _agreement(cosines, torch.from_numpy(self.labels)).numpy()


def compute_class_evidence(
    features: MeanViewFeatures, targets: np.ndarray, fold: np.ndarray, num_classes: int, learns: np.ndarray
) -> ClassFit:
    """Out-of-fold ridge scores of the given class and of the best class, each standardised over all rows.

    `targets` (N,) class numbers, -1 for a row without one (its own-class score is NaN); `fold` (N,) from 0;
    `learns` (N,) bool: rows to learn from; the others are only scored.
    Normal equations are summed once and each fold's share is subtracted, so memory is D x D per fold, never
    images x classes. The features are read twice, from the first row to the last.
    """
    num_folds = int(fold.max()) + 1
    parts = _sum_folds(features, targets, np.where((targets >= 0) & learns, fold, -1), num_folds, num_classes)
    gram, cross = (sum(each[1:], each[0]) for each in zip(*parts, strict=True))
    heads = [_solve(gram - own_gram, cross - own_cross) for own_gram, own_cross in parts]
    result = np.full((len(targets), 2), np.nan, np.float32)
    for rows in _chunks(np.arange(len(targets)), num_folds * _CHUNK):
        x = _with_one(features.tensor(rows))
        for f, weights in enumerate(heads):
            mine = np.flatnonzero(fold[rows] == f)
            result[rows[mine]] = _two_scores((x[mine] @ weights).numpy(), targets[rows[mine]])
    moments = np.stack([np.nanmean(result, axis=0), np.maximum(np.nanstd(result, axis=0), 1e-6)])
    return ClassFit((result - moments[0]) / moments[1], _solve(gram, cross).numpy(), moments)


def _two_scores(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n, 2) float32: of `scores` (n, K), that of the own class, NaN for a target of -1, and the best."""
    own = np.where(targets >= 0, scores[np.arange(len(targets)), np.maximum(targets, 0)], np.nan)
    return np.column_stack([own, scores.max(1)]).astype(np.float32)


def _solve(gram: torch.Tensor, cross: torch.Tensor) -> torch.Tensor:
    penalty = _RIDGE * max(1.0, float(gram[-1, -1])) * torch.eye(len(gram), dtype=gram.dtype)
    # not by Cholesky's factors: of few equal rows the sums, made in float32, are not positive definite to the last bit
    weights: torch.Tensor = torch.linalg.solve(gram + penalty, cross).float()
    return weights


def compute_neighbour_agreement(features: MeanViewFeatures, targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Share, 0 .. 1, of the ten nearest images that bear the most frequent label among them; (N,) float32.

    Nearness is the cosine of the standardised features. `targets` (N,) class numbers, -1 where a row has none: it is
    nobody's neighbour; `groups` (N,): rows that share a number are copies, and no neighbours. NaN where a set is too
    small.
    """
    references = _references(targets)
    if len(references) <= 2 * _NUM_NEIGHBOURS:
        return np.full(len(targets), np.nan, np.float32)
    references = references[np.argsort(groups[references], kind="stable")]  # copies side by side
    known = torch.cat([_unit(features.tensor(part)) for part in _chunks(references)])
    group, labels = groups[references], torch.from_numpy(targets[references])
    agreement = np.empty(len(targets), np.float32)
    for part in _chunks(np.arange(len(targets))):
        cosines = _unit(features.tensor(part)) @ known.T
        first, after = (np.searchsorted(group, groups[part], side) for side in ("left", "right"))
        for row in np.flatnonzero(after > first):
            cosines[row, first[row] : after[row]] = -2
        agreement[part] = _agreement(cosines, labels)
    return agreement


def _references(targets: np.ndarray) -> np.ndarray:
    labelled = np.flatnonzero(targets >= 0)
    spaced = np.linspace(0, len(labelled) - 1, min(len(labelled), MAX_REFERENCES)).astype(np.int64)
    return labelled[spaced]


def _agreement(cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(B,) float32 from cosines (B, m) to images with `labels` (m,)."""
    nearest = labels[cosines.topk(_NUM_NEIGHBOURS).indices]  # (B, 10)
    return ((nearest[:, :, None] == nearest[:, None, :]).sum(2).amax(1) / _NUM_NEIGHBOURS).float()


def _chunks(rows: np.ndarray, size: int = _CHUNK) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x, dim=1)


class _NormalEquations:
    """Sums of the normal equations over rows that come a few at a time, and are multiplied many at a time."""

    def __init__(self, dim: int, num_classes: int) -> None:
        self.gram = torch.zeros(dim, dim, dtype=torch.float64)
        self.sums = torch.zeros(num_classes, dim, dtype=torch.float64)
        self._x, self._y = torch.zeros(0, dim), torch.zeros(0, dtype=torch.int64)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Take in features (n, dim) of rows with classes (n,)."""
        self._x, self._y = torch.cat([self._x, x]), torch.cat([self._y, y])
        while len(self._x) >= _CHUNK:
            self._multiply(_CHUNK)

    def finish(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The sums (dim, dim) and (dim, K)."""
        self._multiply(len(self._x))
        return self.gram, self.sums.T.contiguous()

    def _multiply(self, num: int) -> None:
        x, y = self._x[:num], self._y[:num]
        self.gram += (x.T @ x).double()
        self.sums.index_add_(0, y, x.double())
        self._x, self._y = self._x[num:], self._y[num:]


def _sum_folds(
    features: MeanViewFeatures, targets: np.ndarray, fold: np.ndarray, num_folds: int, num_classes: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The normal equations of each fold, in one pass; `fold` (N,): -1 for rows that are not learned from."""
    dim = features.moments.shape[1] + 1
    parts = [_NormalEquations(dim, num_classes) for _ in range(num_folds)]
    for rows in _chunks(np.flatnonzero(fold >= 0)):
        x, y = _with_one(features.tensor(rows)), torch.from_numpy(targets[rows])
        for f, part in enumerate(parts):
            mine = torch.from_numpy(np.flatnonzero(fold[rows] == f))
            part.add(x[mine], y[mine])
    return [part.finish() for part in parts]


def _with_one(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1)
