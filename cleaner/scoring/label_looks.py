"""What people's verdicts on labels teach a finished model about images like those that they looked at.

A closed form, so that it can follow every page of verdicts: kernel ridge regression on the model's errors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cleaner.scoring.out_of_fold import OutOfFold
from cleaner.scoring.unit_rows import unit_rows

_SHARPNESS = 4.0
"""The kernel of two images is exp(4 (cosine - 1))."""
_RIDGE = 0.3
_STRENGTHS = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
"""What errors like those found may count, in log odds: held-out verdicts choose."""
_CHUNK_VALUES = 10_000_000
_TINY = 1e-12


def teach(predictions: OutOfFold, features: np.ndarray, groups: np.ndarray, decided: np.ndarray) -> OutOfFold:
    """The predictions of n images after the verdicts on some of them have corrected those of similar images.

    `features` (n, D) float, whose cosine says what is alike; `groups` (n,) int64: copies share a number; `decided` (n,)
    int64: the class that a person gave, negative where there is none. The model's errors on the m images with a class
    are r = (that class) - p. Kernel ridge regression (Saunders, Gammerman & Vovk 1998) spreads them by likeness,
    f = k (K + 0.3 I)^-1 r, and p' is in proportion to p exp(s f), one step of boosting the likelihood. Taken is the
    strength s under which the verdicts are likeliest when each is left out (in closed form): without a pattern it is 0.
    An image with a verdict gets what the others say of it.
    """
    rows = np.flatnonzero(decided >= 0)
    rows = rows[np.unique(groups[rows], return_index=True)[1]]  # a copy would vouch for its copy
    if not len(rows) or not features.shape[1]:
        return predictions
    unit = unit_rows(features.astype(np.float32))
    errors = _find_errors(predictions.take(rows), decided[rows])
    inverse = np.linalg.inv(_kernel(unit[rows], unit[rows]).astype(np.float64) + _RIDGE * np.eye(len(rows)))
    weights = inverse @ errors
    held_out = errors - weights / np.diag(inverse)[:, None]
    strength = _choose_strength(predictions.take(rows), held_out, decided[rows])
    if not strength:
        return predictions
    classes, shift = np.maximum(predictions.classes, 0), np.empty(predictions.classes.shape, np.float32)
    weights = weights.astype(np.float32)
    size = max(1, _CHUNK_VALUES // weights.shape[1])
    for start in range(0, len(unit), size):
        part = slice(start, start + size)
        shift[part] = np.take_along_axis(_kernel(unit[part], unit[rows]) @ weights, classes[part], 1)
    shift[rows] = np.take_along_axis(held_out, classes[rows], 1)
    return _shifted(predictions, strength * shift)


def _kernel(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Likeness (n, m) float32, 0 .. 1, of unit vectors (n, D) and (m, D)."""
    kernel: np.ndarray = np.exp(np.float32(_SHARPNESS) * (x @ others.T - 1))
    return kernel


def _find_errors(predictions: OutOfFold, right: np.ndarray) -> np.ndarray:
    """The right class (m,) less the predicted probabilities: (m, K) float64, K being one more than the last class."""
    classes, line = predictions.classes, np.arange(len(right))
    errors = np.zeros((len(right), 1 + int(max(classes.max(), right.max()))))
    np.subtract.at(errors, (line[:, None], np.maximum(classes, 0)), np.where(classes >= 0, predictions.probs, 0))
    errors[line, right] += 1
    return errors


def _choose_strength(predictions: OutOfFold, held_out: np.ndarray, right: np.ndarray) -> float:
    """The strength under which the `right` classes (m,) are likeliest, given errors (m, K) that others predict."""
    classes = predictions.classes
    logits, there = np.log(predictions.probs + _TINY), classes >= 0
    shift = np.take_along_axis(held_out, np.maximum(classes, 0), 1)
    is_right = (classes == right[:, None]) & there
    known = is_right.any(1)  # the right class is among those listed
    losses = []
    for strength in _STRENGTHS:
        shifted = np.where(there, logits + strength * shift, -np.inf)[known]
        losses.append(float((np.logaddexp.reduce(shifted, 1) - shifted[is_right[known]]).sum()))
    return float(_STRENGTHS[int(np.argmin(losses))])


def _shifted(predictions: OutOfFold, shift: np.ndarray) -> OutOfFold:
    """The predictions with `shift` (n, 1 + m) added to the logits of their classes; what they sum up to stays."""
    there = predictions.classes >= 0
    logits = np.where(there, np.log(predictions.probs + _TINY) + shift, -np.inf)
    probs = np.exp(logits - logits.max(1, keepdims=True))
    probs *= predictions.probs.sum(1, keepdims=True) / np.maximum(probs.sum(1, keepdims=True), _TINY)
    own, order = probs[:, 0], np.argsort(-probs[:, 1:], axis=1, kind="stable")
    others, confidence = (np.take_along_axis(v, order, 1) for v in (predictions.others, probs[:, 1:]))
    known = predictions.given_rank >= 0
    first = confidence[:, 0] if confidence.shape[1] else np.zeros(len(own))
    leads = own >= first
    return replace(
        predictions,
        given_rank=np.where(known, (confidence > own[:, None]).sum(1), -1).astype(np.int32),
        self_confidence=np.where(known, own, np.nan).astype(np.float32),
        predicted=np.where(leads, predictions.given, others[:, 0] if others.shape[1] else -1).astype(np.int32),
        predicted_confidence=np.maximum(own, first).astype(np.float32),
        others=others,
        others_confidence=confidence.astype(np.float32),
    )
