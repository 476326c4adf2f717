"""Projects embeddings to the plane, for people to look at."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from scipy.sparse.linalg import eigsh

from cleaner.modeling.columns import Table

UMAP_MOST_IMAGES = 50_000
"""Beyond, UMAP takes hours; principal directions take one pass."""
_UMAP_DIRECTIONS = 50
_CHUNK_ROWS = 8192


def has_umap() -> bool:
    """Whether umap-learn is installed (extra `map`)."""
    return importlib.util.find_spec("umap") is not None


def project(embeddings: Table, method: str, seed: int) -> np.ndarray:
    """Points (N, 2) float32, each coordinate 0 to 1, of `embeddings` (N, D) float16 or float32.

    `method`: `umap` (McInnes, Healy & Melville 2018) on the first 50 principal directions, or `principal`: the first
    two. Far outliers lie on the border: the scale fits 99.8 % of the images.
    """
    if len(embeddings) < 3:
        return np.full((len(embeddings), 2), 0.5, np.float32)
    points = principal_coordinates(embeddings, _UMAP_DIRECTIONS if method == "umap" else 2)
    if method == "umap" and len(points) > 4:
        points = _umap(points, seed)
    low, high = np.quantile(points, [0.001, 0.999], axis=0)
    return np.asarray(np.clip((points - low) / np.maximum(high - low, 1e-9), 0, 1), np.float32)


def principal_coordinates(embeddings: Table, num: int) -> np.ndarray:
    """Coordinates (N, num) float32 along the first principal directions; reads a chunk of `embeddings` at a time."""
    num_rows, dim = embeddings.shape
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for start in range(0, num_rows, _CHUNK_ROWS):
        chunk = embeddings[start : start + _CHUNK_ROWS].astype(np.float32)
        total += chunk.sum(axis=0, dtype=np.float64)
        products += chunk.T @ chunk
    mean = total / num_rows
    covariance = products / num_rows - np.outer(mean, mean)
    if num < dim // 4:  # a few directions of many: by Lanczos' steps, from a fixed start
        values, vectors = eigsh(covariance, k=num, v0=np.ones(dim))
    else:
        values, vectors = np.linalg.eigh(covariance)
    directions = vectors[:, np.argsort(-values)[: min(num, dim)]]
    directions *= np.where(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])] < 0, -1, 1)
    coordinates = np.zeros((num_rows, num), np.float32)
    for start in range(0, num_rows, _CHUNK_ROWS):
        chunk = embeddings[start : start + _CHUNK_ROWS].astype(np.float32)
        coordinates[start : start + _CHUNK_ROWS, : directions.shape[1]] = (chunk - mean) @ directions
    return coordinates


def _umap(points: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP

    num_neighbours = min(15, len(points) - 1)
    model: Any = UMAP(n_neighbors=num_neighbours, random_state=seed, n_jobs=1)
    found: np.ndarray = model.fit_transform(points)
    return found
