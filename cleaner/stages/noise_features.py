"""What the noise stage sees in images: features for its heads, and evidence that needs no seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import NoiseSettings
from cleaner.modeling.class_evidence import (
    ClassFit,
    MeanViewFeatures,
    Neighbours,
    compute_class_evidence,
    compute_neighbour_agreement,
)
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import StyleFeatures, standardise_by
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups
from cleaner.scoring.noise_evidence import EVIDENCE, default_log_odds, rank_evidence
from cleaner.scoring.noise_judge import quantiles_of, rank_among
from cleaner.scoring.noise_model import Features, Sight
from cleaner.stages.inputs import embed_for
from cleaner.stages.stage_run import Machine, StageRun

PACKED = ("file_name", "image_id", "pixel_id")
READ = (
    *("file_name", "image_id", "keep", "drop_stage", "drop_reason", "clean_label", "label", "split", "readable"),
    *("width", "height", "mode", "format", "file_bytes", "duplicate_group"),
)
READ_IF_THERE = ("information", "num_colors", "flat_share", "aspect", "pixel_id")
"""The columns of the manifest that the stage looks at."""
_EVIDENCE_FOLDS = 5
_THREE_CHANNEL = ("RGB", "YCbCr")
_GREY = ("1", "L", "LA", "I;16", "F")


@dataclass(frozen=True)
class NoiseFeatures:
    """What there is to see of the judged rows and of the images from outside, N in all."""

    sight: Sight
    eye: Eye
    machine: Machine


@dataclass(frozen=True)
class Eye:
    """What shows the classifier other images as it saw those of the run."""

    moments: list[np.ndarray]
    """(2, D) float32 for each kind of content: mean and deviation of its features."""
    fit: ClassFit
    neighbours: Neighbours
    quantiles: np.ndarray
    """(Q, E): see `quantiles_of`."""
    classes: list[str]

    def see(self, embeddings: Embeddings, rows: pd.DataFrame, part: slice) -> tuple[list[np.ndarray], np.ndarray]:
        """Features (n, D) of a part of manifest `rows` for each kind of content, and ranks (n, E) of their evidence.

        `embeddings`: those of all the rows.
        """
        rows, style = rows.iloc[part], embeddings.style
        sources = [embeddings.mean(part), None if style is None else style[part]]
        contents = [standardise_by(m, x) for m, x in zip(self.moments, sources, strict=False) if x is not None]
        targets = pd.Index(self.classes).get_indexer(pd.Index(rows["clean_label"]))
        evidence = [self.fit.judge(contents[0], targets), self.neighbours.judge(contents[0]), *_file_evidence(rows)]
        return contents, rank_among(np.column_stack(evidence), self.quantiles)


def compute_features(
    run: StageRun[NoiseSettings], judged: pd.DataFrame, outside: Sequence[tuple[str, Path]]
) -> NoiseFeatures:
    """Embed the judged rows, followed by `outside` images (image_id, path), and gather the evidence."""
    embeddings, machine = embed_for(run, judged, outside, with_style=True)
    return NoiseFeatures(*gather_sight(embeddings, judged, run.options.seed), machine)


def gather_sight(embeddings: Embeddings, judged: pd.DataFrame, seed: int) -> tuple[Sight, Eye]:
    """What the classifier sees of M judged rows and of the images from outside that follow them in `embeddings`, and
    what sees others alike.
    """
    content = MeanViewFeatures(embeddings)
    num_outside = len(embeddings.plain) - len(judged)
    groups = duplicate_groups(judged)
    groups = np.concatenate([groups, groups.max(initial=-1) + 1 + np.arange(num_outside)])
    fit, learned, classes = _fit_classes(content, judged, groups, seed)
    agreement = compute_neighbour_agreement(content, learned, groups)
    ranks = rank_evidence(_all_evidence(judged, fit.scores, agreement), (len(groups), len(EVIDENCE)))
    contents: list[Features] = [content]
    moments = [content.moments]
    if embeddings.style is not None and embeddings.style.shape[1]:
        style = StyleFeatures(embeddings.style)
        contents.append(style)
        moments.append(style.moments)
    quantiles = quantiles_of(_all_evidence(judged, fit.scores, agreement))
    eye = Eye(moments, fit, Neighbours.of(content, learned), quantiles, classes)
    return Sight(contents, ranks, default_log_odds(ranks), groups, np.arange(len(groups)) < len(judged)), eye


def _fit_classes(
    content: MeanViewFeatures, judged: pd.DataFrame, groups: np.ndarray, seed: int
) -> tuple[ClassFit, np.ndarray, list[str]]:
    """The fit of N images to the classes, the class numbers (N,) of those that models learn from, else -1, and the
    classes.
    """
    num_outside = len(groups) - len(judged)
    labels, classes = pd.factorize(judged["clean_label"], sort=True)
    rng = open_stream(seed, Stream.NOISE_EVIDENCE_FOLDS)
    fold = assign_folds(groups[: len(judged)], labels, _EVIDENCE_FOLDS, rng)
    learns = judged["split"].to_numpy() == "train"
    targets = np.concatenate([labels, np.full(num_outside, -1)]).astype(np.int64)
    folds = np.concatenate([fold, np.zeros(num_outside, np.int64)])
    learns = np.concatenate([learns, np.zeros(num_outside, bool)])
    fit = compute_class_evidence(content, targets, folds, len(classes), learns)
    return fit, np.where(learns, targets, -1), list(classes)


def _all_evidence(judged: pd.DataFrame, scores: np.ndarray, agreement: np.ndarray) -> Iterator[np.ndarray]:
    """The columns of EVIDENCE (N,) float64, one at a time: M judged rows, then images from outside, of which nothing is
    known: they have no class.

    `scores` (N, 2) of `ClassFit`, `agreement` (N,) of neighbours.
    """
    num = len(judged)
    for known in itertools.chain(scores[:num].T, [agreement[:num]], _file_evidence(judged)):
        column = np.full(len(agreement), np.nan)
        column[:num] = known
        yield column


def _file_evidence(judged: pd.DataFrame) -> Iterator[np.ndarray]:
    """Nine columns (M,) float64: looks that scan measured, and what files say of themselves; NaN in a manifest without
    them.
    """
    for name in ("information", "num_colors", "flat_share", "aspect"):
        look = judged[name].to_numpy(np.float64) if name in judged else np.full(len(judged), np.nan)
        yield np.where(look > 0, look, np.nan) if name == "num_colors" else look
    num_pixels = judged["width"].to_numpy(np.float64) * judged["height"].to_numpy()
    yield judged["file_bytes"].to_numpy() / np.maximum(num_pixels, 1)
    yield num_pixels
    yield (~judged["mode"].isin(_THREE_CHANNEL)).to_numpy(np.float64)
    yield (judged["format"] == "PNG").to_numpy(np.float64)
    yield judged["mode"].isin(_GREY).to_numpy(np.float64)
