"""What the noise stage sees in images: features for its heads, and evidence that needs no seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import NoiseSettings
from cleaner.modeling.class_evidence import MeanViewFeatures, compute_class_evidence, compute_neighbour_agreement
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import StyleFeatures
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups
from cleaner.scoring.noise_evidence import EVIDENCE, default_log_odds, rank_evidence
from cleaner.scoring.noise_model import Features, Sight
from cleaner.stages.inputs import embed_for
from cleaner.stages.stage_run import Machine, StageRun

_EVIDENCE_FOLDS = 5
_THREE_CHANNEL = ("RGB", "YCbCr")
_GREY = ("1", "L", "LA", "I;16", "F")


@dataclass(frozen=True)
class NoiseFeatures:
    """What there is to see of the judged rows and of the images from outside, N in all."""

    sight: Sight
    machine: Machine


def compute_features(
    run: StageRun[NoiseSettings], judged: pd.DataFrame, outside: Sequence[tuple[str, Path]]
) -> NoiseFeatures:
    """Embed the judged rows, followed by `outside` images (image_id, path), and gather the evidence."""
    embeddings, machine = embed_for(run, judged, outside, with_style=True)
    return NoiseFeatures(gather_sight(embeddings, judged, run.options.seed), machine)


def gather_sight(embeddings: Embeddings, judged: pd.DataFrame, seed: int) -> Sight:
    """What the classifier sees of M judged rows and of the images from outside that follow them in `embeddings`."""
    content = MeanViewFeatures(embeddings)
    num_outside = len(embeddings.plain) - len(judged)
    groups = duplicate_groups(judged)
    groups = np.concatenate([groups, groups.max(initial=-1) + 1 + np.arange(num_outside)])
    evidence = np.full((len(groups), len(EVIDENCE)), np.nan)
    evidence[: len(judged), :3] = _class_evidence(content, judged, groups, seed)[: len(judged)]  # others have no class
    evidence[: len(judged), 3:] = _file_evidence(judged)
    ranks = rank_evidence(evidence)
    contents: list[Features] = [content]
    if embeddings.style is not None and embeddings.style.shape[1]:
        contents.append(StyleFeatures(embeddings.style))
    return Sight(contents, ranks, default_log_odds(ranks), groups, np.arange(len(groups)) < len(judged))


def _class_evidence(content: MeanViewFeatures, judged: pd.DataFrame, groups: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3): fit to the given and to the best class, agreement of the neighbours."""
    num_outside = len(groups) - len(judged)
    labels, classes = pd.factorize(judged["clean_label"], sort=True)
    rng = open_stream(seed, Stream.NOISE_EVIDENCE_FOLDS)
    fold = assign_folds(groups[: len(judged)], labels, _EVIDENCE_FOLDS, rng)
    learns = judged["split"].to_numpy() == "train"
    targets = np.concatenate([labels, np.full(num_outside, -1)]).astype(np.int64)
    folds = np.concatenate([fold, np.zeros(num_outside, np.int64)])
    learns = np.concatenate([learns, np.zeros(num_outside, bool)])
    fit = compute_class_evidence(content, targets, folds, len(classes), learns)
    return np.column_stack([fit, compute_neighbour_agreement(content, np.where(learns, targets, -1), groups)])


def _file_evidence(judged: pd.DataFrame) -> np.ndarray:
    """(M, 9) float: looks that scan measured, and what files say of themselves; NaN in a manifest without them."""
    looks = judged.reindex(columns=["information", "num_colors", "flat_share", "aspect"]).astype(float)
    looks["num_colors"] = looks["num_colors"].where(looks["num_colors"] > 0)
    num_pixels = judged["width"].astype(float) * judged["height"]
    return np.column_stack(
        [
            looks,
            judged["file_bytes"] / num_pixels.clip(lower=1),
            num_pixels,
            ~judged["mode"].isin(_THREE_CHANNEL),
            judged["format"] == "PNG",
            judged["mode"].isin(_GREY),
        ]
    ).astype(np.float64)
