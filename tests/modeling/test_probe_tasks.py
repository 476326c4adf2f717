"""Heads by steps, fold by fold, judging by shards: on any machine the same bytes, those of heads side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleaner.dataset.store import Arrays
from cleaner.engine.local import LocalEngine
from cleaner.modeling import head_tasks, probe
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.probe_tasks import ClusterProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.scoring.out_of_fold import OutOfFold
from tests.support.planted import K, planted


def fit(learner: ProbeLearner, folder: Path | None = None) -> tuple[OutOfFold, list[Arrays], int]:
    """Predictions, models and how many epochs were counted."""
    _, _, given = planted()
    rows, epochs = np.arange(len(given)), []
    images = FoldedRows(rows, given, rows % 3, np.where(rows % 7 == 0, 0.5, 1.0))
    predictions, models = cross_train(
        learner, images, PROBE_RECIPES[0], seed=3, checkpoint_dir=folder, on_epoch=lambda: epochs.append(1)
    )
    return predictions, [model.state() for model in models], len(epochs)


def bytes_of(found: tuple[OutOfFold, list[Arrays], int]) -> list[bytes]:
    return [array.tobytes() for arrays in (found[0].arrays(), *found[1]) for _, array in sorted(arrays.items())]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_processes_give_the_same_bytes(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "APART_CLASSES", K)
    monkeypatch.setattr(head_tasks, "PREDICTED_ROWS", 60)
    embeddings, _, _ = planted()
    expected = fit(ProbeLearner(embeddings, K, precision))
    there = ClusterProbeLearner(embeddings, K, precision, tmp_path, with_threads(LocalEngine(2)))
    found = fit(there, tmp_path / "fit")
    assert bytes_of(found) == bytes_of(expected)
    assert found[2] == expected[2] == PROBE_RECIPES[0].epochs
    marks = sorted(path.stem for path in (tmp_path / "fit").glob("*.arrays"))
    assert marks[-3:] == ["head_0", "head_1", "head_2"] and len(marks) == 3 + 1 + 8, "and shards with what they share"
    monkeypatch.setattr(probe, "APART_CLASSES", K + 1)
    together = fit(ProbeLearner(embeddings, K, precision))
    assert (together[0].predicted == expected[0].predicted).mean() > 0.99


def with_threads(engine: LocalEngine) -> Any:
    """The engine's `map`, which must be asked for the cores that a task's arithmetic takes."""

    def map_tasks(function: Any, tasks: Any, *, store: Any, threads: int = 1) -> Any:
        assert threads == getattr(tasks[0][1], "threads", 1)
        return engine.map(function, tasks, store=store, threads=threads)

    return map_tasks
