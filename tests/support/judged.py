"""A workspace whose labels stage predicted what a test says, for exports of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.workspace import MANIFEST, Workspace
from cleaner.exports.cleaned import Cleaned
from cleaner.stages.labels.last_predictions import LastPredictions
from tests.support.planted import predictions_of
from tests.support.records import record_of


def make_judged(
    root: Path,
    manifest: pd.DataFrame,
    classes: list[str],
    probs: np.ndarray,
    *,
    num_kept: int = 31,
    merged: dict[str, str] | None = None,
    images_root: Path | None = None,
) -> Cleaned:
    """The set of `manifest`, every row of which was judged: `probs` (n, K) of `classes`, `num_kept` others kept."""
    given = pd.Index(classes).get_indexer(pd.Index(manifest["label"]))
    own = np.arange(len(classes)) == given[:, None]
    others = np.argsort(-np.where(own, -1.0, probs), axis=1, kind="stable")[:, : min(num_kept, len(classes) - 1)]
    numbers = np.concatenate([given[:, None], others], 1)
    kept = np.take_along_axis(probs, numbers, 1).astype(np.float32)
    features = np.arange(2 * len(manifest), dtype=np.float16).reshape(-1, 2)
    place = Workspace(root)
    folder = place.begin("labels")
    rows = np.arange(len(manifest))
    last = LastPredictions(rows, predictions_of(numbers, kept), rows, features, classes, merged or {}, False)
    manifest[["file_name", "image_id"]].to_parquet(folder / MANIFEST)
    place.write_record(record_of("labels"), [MANIFEST, last.write(folder)])
    return Cleaned.of(manifest, images_root or root, workspace=place)
