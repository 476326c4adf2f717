"""Points in the plane: alike embeddings lie together, the same ones in every run."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cleaner.modeling.projection import has_umap, principal_coordinates, project


def blobs(num: int, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, num)
    centres = rng.normal(0, 4, (3, dim))
    return (centres[kind] + rng.normal(0, 1, (num, dim))).astype(np.float32), kind


@pytest.mark.parametrize(("num", "dim", "wanted"), [(300, 64, 2), (9000, 12, 5), (40, 6, 6)])
def test_principal_coordinates_are_those_of_pca(num: int, dim: int, wanted: int) -> None:
    rows, _ = blobs(num, dim)
    found, known = principal_coordinates(rows, wanted), PCA(wanted).fit_transform(rows.astype(np.float64))
    signs = np.sign((found * known).sum(axis=0))
    assert np.allclose(found, known * signs, atol=2e-2)


@pytest.mark.parametrize("method", ["principal", "umap"])
def test_alike_rows_lie_together_and_twice_the_same(method: str) -> None:
    if method == "umap" and not has_umap():
        pytest.skip("umap-learn is not installed (extra map)")
    rows, kind = blobs(240, 32)
    points = project(rows.astype(np.float16), method, seed=1)
    assert points.shape == (240, 2) and points.min() >= 0 and points.max() <= 1
    centres = np.stack([points[kind == k].mean(axis=0) for k in range(3)])
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == kind).mean() > 0.95
    assert np.array_equal(points, project(rows.astype(np.float16), method, seed=1))


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.ones((2, 4)), np.ones((9, 4)), np.arange(9.0)[:, None]])
def test_few_or_equal_rows_have_a_place(rows: np.ndarray) -> None:
    points = project(rows.astype(np.float32), "principal", seed=0)
    assert points.shape == (len(rows), 2) and np.isfinite(points).all()
