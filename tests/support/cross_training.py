"""Predictions of a known model, whole, as people would bring them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cleaner.config import RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.backbones import load_backbone, resolve_precision
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.stages.inputs import embed_rows
from tests.support.backbones import SMALL


def whole_matrix(workspace: Path, names: list[str], classes: list[str]) -> np.ndarray:
    """Out-of-fold probabilities (n, K) of heads that were cross-trained on the labels as given."""
    manifest = (
        pd.read_parquet(workspace / "labels" / "manifest.parquet").set_index("file_name").loc[names].reset_index()
    )
    backbone = load_backbone(SMALL)
    images = Path(json.loads((workspace / "labels" / "stage.json").read_text())["images_root"])
    embeddings = embed_rows(Workspace(workspace), images, manifest, [backbone], RunOptions())
    learner = ProbeLearner(embeddings, len(classes), resolve_precision("auto", torch.device("cpu")))
    given = np.searchsorted(classes, manifest["label"].to_numpy()).astype(np.int64)
    fold = manifest["fold"].to_numpy().astype(np.int64)
    learns = (manifest["split"] == "train").to_numpy(np.float32)
    images = FoldedRows(np.arange(len(given)), given, fold, learns)
    _, models = cross_train(learner, images, PROBE_RECIPES[1], seed=0)
    probs = np.zeros((len(given), len(classes)), np.float32)
    for number, model in enumerate(models):
        mine = np.flatnonzero(fold == number)
        for part, values in model.predict(mine):
            probs[mine[part]] = values
    return probs
