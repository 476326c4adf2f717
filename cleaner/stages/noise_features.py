"""What the noise stage sees in images: features for its classifiers, and how well each image fits the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import NoiseSettings
from cleaner.modeling.backbones import load_backbone, num_threads
from cleaner.modeling.class_evidence import MeanViewFeatures, compute_class_evidence
from cleaner.modeling.features import StyleFeatures
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups
from cleaner.scoring.noise_rounds import Features
from cleaner.stages.inputs import embed_rows
from cleaner.stages.stage_run import Machine, StageRun

_EVIDENCE_FOLDS = 5


@dataclass(frozen=True)
class NoiseFeatures:
    """Features of the judged rows and of the images from outside, N in all."""

    content: Features
    style: Features | None
    """None for a backbone without style statistics."""
    evidence: np.ndarray
    """(N, 2) float32: standardised fit to the given class and to the best class; NaN where a row has none."""
    machine: Machine

    def for_seeds(self, source: str) -> list[Features]:
        """What the classifiers learn from, given the `source` of their seeds.

        Style tells noise best. A cold start picks its seeds by flatness and colours, which style sees at once: from
        style alone it would find whatever is flat.
        """
        if self.style is None:
            return [self.content]
        return [self.style, self.content] if source == "auto" else [self.style]


def compute_features(
    run: StageRun[NoiseSettings], judged: pd.DataFrame, outside: Sequence[tuple[str, Path]]
) -> NoiseFeatures:
    """Embed the judged rows, followed by `outside` images (image_id, path), and fit their classes."""
    backbone = load_backbone(run.settings.embedding, run.options.device)
    embeddings = embed_rows(
        run.workspace, run.parent.images_root, judged, backbone, run.options, outside, with_style=True
    )
    content = MeanViewFeatures(embeddings)
    style = embeddings.style
    return NoiseFeatures(
        content,
        StyleFeatures(style) if style is not None and style.shape[1] else None,
        _class_evidence(content, judged, len(outside), run.options.seed),
        Machine(backbone.describe(), str(backbone.device), num_threads()),
    )


def _class_evidence(features: MeanViewFeatures, judged: pd.DataFrame, num_outside: int, seed: int) -> np.ndarray:
    labels, classes = pd.factorize(judged["clean_label"], sort=True)
    rng = open_stream(seed, Stream.NOISE_EVIDENCE_FOLDS)
    fold = assign_folds(duplicate_groups(judged), labels, _EVIDENCE_FOLDS, rng)
    learns = judged["split"].to_numpy() == "train"
    targets = np.concatenate([labels, np.full(num_outside, -1)]).astype(np.int64)
    folds = np.concatenate([fold, np.zeros(num_outside, np.int64)])
    learns = np.concatenate([learns, np.zeros(num_outside, bool)])
    return compute_class_evidence(features, targets, folds, len(classes), learns)
