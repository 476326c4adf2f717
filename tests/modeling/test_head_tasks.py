"""Closed-form heads by shards: whoever computes them, and however many at a time, the bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cleaner.dataset.locations import locate
from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.engine.local import LocalEngine
from cleaner.errors import CleanerError
from cleaner.modeling import closed_form, feature_pieces, head_tasks
from cleaner.modeling.closed_form import ClosedFormLearner
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.feature_pieces import Pieces
from cleaner.modeling.head_tasks import Shared, StandardisedThere, Work, sum_shard
from cleaner.modeling.learner import FitJob
from cleaner.modeling.recipes import CLOSED_FORM_RECIPES
from tests.support.planted import K, planted

RECIPE = CLOSED_FORM_RECIPES[0]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "rows_of_sums", lambda *shape: 100)
    monkeypatch.setattr(head_tasks, "PREDICTED_ROWS", 60)


@pytest.mark.parametrize(("num", "most"), [(0, 60), (1, 60), (60, 60), (61, 60), (1000, 7)])
def test_shards_cover_all_rows_and_are_of_one_size(num: int, most: int) -> None:
    parts = Work(sum_shard, {"rows": np.arange(num)}, most, 1).parts
    assert [row for part in parts for row in range(num)[part]] == list(range(num))
    sizes = [part.stop - part.start for part in parts]
    assert len(sizes) == -(-num // most) and all(0 < size <= most for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def fit(learner: ClosedFormLearner, folder: Path | None = None) -> dict[str, bytes]:
    """The bytes of a cross-training of weighted rows: predictions and models."""
    _, _, given = planted()
    rows = np.arange(len(given))
    weights = np.random.default_rng(0).random(len(given)).astype(np.float32)
    weights[::17] = 0
    images = FoldedRows(rows, given, rows % 5, weights)
    predictions, models = cross_train(learner, images, RECIPE, seed=0, checkpoint_dir=folder)
    states = {f"{i}{name}": value for i, model in enumerate(models) for name, value in model.state().items()}
    return {name: value.tobytes() for name, value in (predictions.arrays() | states).items()}


def test_threads_processes_and_the_caller_give_the_same_bytes(threads: None, tmp_path: Path) -> None:
    embeddings, _, _ = planted()
    torch.set_num_threads(1)
    expected = fit(ClosedFormLearner(embeddings, K))
    torch.set_num_threads(3)
    assert fit(ClosedFormLearner(embeddings, K)) == expected
    assert torch.get_num_threads() == 3
    elsewhere = ClosedFormLearner(embeddings, K, LocalEngine(2).map, tmp_path)
    assert fit(elsewhere, tmp_path / "fit") == expected
    marks = len(list((tmp_path / "fit").glob("*.arrays")))
    assert marks == 2 + 5 + 8, "two sets of shared arrays, and a mark for each shard"

    def nobody(*arguments: object, store: ArrayStore) -> Iterator[Arrays]:
        tasks = arguments[1]
        assert isinstance(tasks, list) and all(store.get(key) is not None for key, _ in tasks)
        return (store.get(key) or {} for key, _ in tasks)

    from_marks = ClosedFormLearner(embeddings, K, nobody, tmp_path)
    assert fit(from_marks, tmp_path / "fit") == expected


def test_behind_a_url_a_machine_keeps_copies_of_the_pieces_that_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("upath", reason="universal-pathlib is not installed: pip install 'cleaner-images[ray]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(feature_pieces, "_PIECE_ROWS", 110)
    embeddings, _, _ = planted()
    storage = locate("memory://heads")
    learner = ClosedFormLearner(embeddings, K, LocalEngine(1).map, storage)
    assert fit(learner, storage / "fit") == fit(ClosedFormLearner(embeddings, K))
    pieces = sorted(path.name for path in (storage / "features").iterdir())
    copies = tmp_path / "cleaner" / "features"
    assert len(pieces) == 2 * 5 and sorted(path.name for path in copies.iterdir()) == pieces
    source = StandardisedThere.put(embeddings, learner.features.moments, storage)
    assert sorted(path.name for path in (storage / "features").iterdir()) == pieces, "stored once"
    for path in copies.iterdir():
        path.write_bytes(b"damaged")
    assert isinstance(source.embeddings, Pieces)
    assert np.array_equal(source.embeddings.open().mirrored[np.array([470, 3, 3])], embeddings.mirrored[[470, 3, 3]])
    for path in (storage / "features").iterdir():
        path.unlink()
    with pytest.raises(CleanerError, match="features of a run are gone"):
        source.embeddings.open().plain[np.array([150])]


def test_a_fold_s_model_is_that_of_the_other_rows_alone() -> None:
    embeddings, _, given = planted()
    rows, learner = np.arange(len(given)), ClosedFormLearner(embeddings, K)
    weights = np.where(rows % 7 == 0, 0.5, 1.0).astype(np.float32)
    _, models = cross_train(learner, FoldedRows(rows, given, rows % 3, weights), RECIPE, seed=0)
    for fold, model in enumerate(models):
        left = np.flatnonzero(rows % 3 != fold)
        alone = FitJob(
            rows=left, targets=given[left], sample_weights=weights[None, left], num_classes=K, recipe=RECIPE, seed=0
        )
        (expected,) = learner.fit(alone)
        np.testing.assert_allclose(model.state()["weight"], expected.state()["weight"], rtol=1e-3, atol=1e-4)
    twice = replace(alone, sample_weights=np.stack([weights[left], 2 * weights[left]]))
    with pytest.raises(ValueError, match="different weights"):
        learner.fit(twice)


def test_arrays_that_a_machine_cannot_see_are_told(tmp_path: Path) -> None:
    with pytest.raises(CleanerError, match="cannot be read from here"):
        Shared("key", None, str(tmp_path)).open()
