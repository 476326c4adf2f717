"""What linear heads learn from."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from cleaner.modeling import columns
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import PrincipalFeatures, Standardised

NUM, DIM = 400, 200


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    """Five wide directions among narrow ones, as rectified activations have them."""
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(2 * NUM, 5)) @ rng.normal(size=(5, DIM))
    both = np.abs(wide + 0.3 * rng.normal(size=(2 * NUM, DIM))).astype(np.float16)
    return Embeddings(both[:NUM], both[NUM:])


def test_directions_hold_the_most_variance_and_have_one_length(embeddings: Embeddings) -> None:
    found = PrincipalFeatures(embeddings)
    rows = np.arange(NUM)
    x = found("plain", rows).double().numpy()
    assert x.shape == (NUM, 128)
    assert (x**2).sum(1).mean() == pytest.approx(640, rel=1e-3)
    spread = np.cov(x.T, bias=True)
    variances = np.diag(spread)
    assert np.abs(spread - np.diag(variances)).max() < 1e-3 * variances.max()
    assert (np.diff(variances) <= 1e-6).all()
    whole = Standardised(embeddings)("plain", rows).double().numpy()
    best = np.linalg.svd(whole - whole.mean(0), compute_uv=False)[:128] ** 2 / NUM
    assert np.allclose(variances / variances.sum(), best / best.sum(), atol=1e-5)


def test_a_head_along_directions_is_a_head_over_channels(embeddings: Embeddings) -> None:
    found, plain = PrincipalFeatures(embeddings), Standardised(embeddings)
    weight = torch.randn(3, found.dim, generator=torch.Generator().manual_seed(0))
    for view in ("plain", "mirrored"):
        rows = np.array([3, 0, 399, 3])
        through = plain(view, rows) @ found.channel_weights(weight).T
        assert torch.allclose(found(view, rows) @ weight.T, through, atol=1e-2, rtol=1e-4)


def test_more_images_give_more_directions(embeddings: Embeddings) -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, NUM, 150 * 32)
    assert PrincipalFeatures(embeddings.take(rows)).dim == 150


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_in_a_file_are_those_in_memory(
    embeddings: Embeddings, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_memory = PrincipalFeatures(embeddings, dtype)
    monkeypatch.setattr(columns, "BYTES_IN_MEMORY", 1000)
    in_file = PrincipalFeatures(embeddings, dtype, tmp_path)
    assert len(list(tmp_path.rglob("*.table"))) == 1
    rows, mirrored = torch.tensor([5, 1, 5, 399]), torch.tensor([False, True, True, False])
    assert in_file.take(rows, mirrored).dtype == dtype
    assert torch.equal(in_file.take(rows, mirrored), in_memory.take(rows, mirrored))
    del in_file
    gc.collect()
    assert not list(tmp_path.rglob("*.table"))
    one_view = in_memory("mirrored", np.array([1, 5]))
    assert torch.equal(in_memory.take(rows, mirrored)[1:3].float(), one_view)


def test_with_one_view_every_recipe_learns_from_it(embeddings: Embeddings) -> None:
    one = Embeddings.of_views([embeddings.plain])
    found = PrincipalFeatures(one)
    rows = torch.tensor([5, 1, 399])
    assert found.views == ("plain",)
    asked = found.take(rows, torch.tensor([False, True, True]))
    assert torch.equal(asked, PrincipalFeatures(embeddings).take(rows, torch.zeros(3, dtype=torch.bool)))
    assert torch.equal(found("mirrored", rows.numpy()), asked.float())
