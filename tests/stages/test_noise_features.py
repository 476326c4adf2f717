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
from cleaner.stages.stage_run import StageRun


def features_of(work: Path, num_style: int, monkeypatch: pytest.MonkeyPatch) -> NoiseFeatures:
    """Features of a scanned set whose backbone gives `num_style` style statistics."""
    run = StageRun.open(Workspace(work), "noise", NoiseSettings(), RunOptions())
    manifest = run.read_parent()
    judged = manifest[manifest["keep"]]
    rng = np.random.default_rng(0)
    plain, style = (rng.random((len(judged), num)).astype(np.float16) for num in (8, num_style))
    monkeypatch.setattr(noise_features, "embed_rows", lambda *a, **k: Embeddings(plain, plain, style))
    return compute_features(run, judged, [])


def test_a_cold_start_looks_at_content_too_and_without_style_at_content_alone(
    small_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = features_of(small_copy, 6, monkeypatch)
    assert [type(f) for f in features.for_seeds("file")] == [StyleFeatures]
    assert [type(f) for f in features.for_seeds("auto")] == [StyleFeatures, MeanViewFeatures]
    without = features_of(small_copy, 0, monkeypatch)
    for source in ("people", "auto"):
        assert [type(f) for f in without.for_seeds(source)] == [MeanViewFeatures]


def test_the_style_of_some_rows_goes_with_them() -> None:
    plain = np.zeros((20, 8), np.float16)
    style = np.arange(120, dtype=np.float16).reshape(20, 6)
    taken = Embeddings(plain, plain, style).take(np.array([3, 1])).style
    assert taken is not None and np.array_equal(taken, style[[3, 1]])
