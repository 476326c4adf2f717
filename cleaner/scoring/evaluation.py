"""Evaluates a classifier on held-out images: by class, by class size, by confidence, and its confusions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZES = ("head", "medium", "tail")


@dataclass(frozen=True)
class Curve:
    """Precision against recall as the confidence threshold falls."""

    threshold: np.ndarray
    """(p,) float64, falling: predictions at least this confident count."""
    precision: np.ndarray
    """(p,) float64, 0 .. 1."""
    recall: np.ndarray
    """(p,) float64, 0 .. 1, rising."""
    envelope: np.ndarray
    """(p,) float64: the highest precision at this recall or to the right of it."""
    average_precision: float
    """Area below the envelope, 0 .. 1."""


def size_groups(sizes: np.ndarray) -> np.ndarray:
    """head, medium or tail (K,) object for classes of `sizes` (K,) int: thirds of the classes, the largest first."""
    order = np.argsort(-sizes, kind="stable")
    groups = np.empty(len(sizes), object)
    for name, part in zip(SIZES, np.array_split(order, 3), strict=True):
        groups[part] = name
    return groups


def class_recalls(targets: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Share (K,) float64 of each class's images that are predicted as it; NaN for a class without images."""
    totals = np.bincount(targets, minlength=num_classes)
    hits = np.bincount(targets[targets == predicted], minlength=num_classes)
    recalls: np.ndarray = np.where(totals > 0, hits / np.maximum(totals, 1), np.nan)
    return recalls


def precision_recall(correct: np.ndarray, confidence: np.ndarray, num_positives: int) -> Curve:
    """The curve of n predictions: `correct` (n,) bool, `confidence` (n,) in 0 .. 1; `num_positives` in all.

    For one class, the predictions are the images predicted as it and the positives its own images. Equal confidences
    make one point. The curve is empty without predictions or positives.
    """
    order = np.argsort(-confidence, kind="stable")
    level, hit = confidence[order].astype(np.float64), correct[order]
    last = np.append(level[1:] != level[:-1], True) if len(level) else np.zeros(0, bool)
    if not num_positives or not len(level):
        nothing = np.zeros(0)
        return Curve(nothing, nothing, nothing, nothing, 0.0)
    found = np.cumsum(hit)
    precision = (found / np.arange(1, len(hit) + 1))[last]
    recall = (found / num_positives)[last]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    area = float((np.diff(recall, prepend=0.0) * envelope).sum())
    return Curve(level[last], precision, recall, envelope, area)


def find_confusions(
    targets: np.ndarray, predicted: np.ndarray, num_classes: int, most: int
) -> list[tuple[int, int, int]]:
    """The most frequent wrong predictions (class, predicted class, images), the most frequent first."""
    wrong = targets != predicted
    pairs, counts = np.unique(targets[wrong] * num_classes + predicted[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(int(pairs[i] // num_classes), int(pairs[i] % num_classes), int(counts[i])) for i in order]
