"""What the classifiers of the noise stage learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cleaner.config import NoiseSettings, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.class_evidence import MeanViewFeatures
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import StyleFeatures
from cleaner.stages import noise_features
from cleaner.stages.noise_features import NoiseFeatures, compute_features
from cleaner.stages.stage_run import Machine, StageRun
from tests.support.backbones import SMALL


def features_of(work: Path, num_style: int, monkeypatch: pytest.MonkeyPatch) -> NoiseFeatures:
    """Features of a scanned set whose backbone gives `num_style` style statistics."""
    run = StageRun.open(Workspace(work), "noise", NoiseSettings(embedding=SMALL), RunOptions())
    manifest = run.read_parent()
    judged = manifest[manifest["keep"]]
    rng = np.random.default_rng(0)
    plain, style = (rng.random((len(judged), num)).astype(np.float16) for num in (8, num_style))
    monkeypatch.setattr(noise_features, "embed_for", lambda *a, **k: (Embeddings(plain, plain, style), Machine()))
    return compute_features(run, judged, [])


def test_heads_look_at_content_and_at_style_where_there_is_some(
    small_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [type(f) for f in features_of(small_copy, 6, monkeypatch).sight.contents] == [
        MeanViewFeatures,
        StyleFeatures,
    ]
    assert [type(f) for f in features_of(small_copy, 0, monkeypatch).sight.contents] == [MeanViewFeatures]


def test_every_kind_of_evidence_varies_over_the_images(small_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = features_of(small_copy, 6, monkeypatch).sight.ranks
    assert np.isfinite(ranks).all() and (ranks.std(0) > 0).all()


def test_the_style_of_some_rows_goes_with_them() -> None:
    plain = np.zeros((20, 8), np.float16)
    style = np.arange(120, dtype=np.float16).reshape(20, 6)
    taken = Embeddings(plain, plain, style).take(np.array([3, 1])).style
    assert taken is not None and np.array_equal(taken, style[[3, 1]])
