"""Finds jumbled classes and pairs of classes that are one, from out-of-fold predictions alone. docs/methods.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from cleaner.scoring.out_of_fold import OutOfFold

_NUM_MATES = 3
"""Each class is compared with this many others: those that share the most probability with it."""
_SAME = 0.7
"""Two classes are one if the upper bound of their AUC is below this. Tuned in benchmarks/class_findings.py."""
_JUMBLED_SHARE = 0.5
"""A jumble is recognised at less than this share of the median class's rate. Tuned likewise."""
_SPREAD = 0.8
"""A jumble's predictions spread over the classes at least this evenly. Tuned likewise."""
_DEVIATIONS = 1.64
"""For one-sided bounds of 95 %."""
_FEWEST_IMAGES = 20
"""Smaller classes get no findings; `cleaner balance` tests their coherence."""
_CHUNK_ROWS = 65_536
_TINY = 1e-12


@dataclass(frozen=True)
class ClassFindings:
    """Evidence on K classes, and the findings."""

    num_images: np.ndarray
    """(K,) int64: images with this given label."""
    recognised: np.ndarray
    """(K,) float32: share of them predicted as this class; NaN without images."""
    recognised_with: np.ndarray
    """(K,) float32: the same, where classes that cannot be told from it count as correct."""
    spread: np.ndarray
    """(K,) float32: how evenly their predictions spread over the classes: entropy / maximum entropy, 0 .. 1."""
    nearest: np.ndarray
    """(K,) int64: the class that is hardest to tell from this one; -1: none."""
    separability: np.ndarray
    """(K,) float32: AUC of separating the images of the two; 0.5: not at all, 1: perfectly."""
    separability_error: np.ndarray
    """(K,) float32: its standard error."""
    overlap: np.ndarray
    """(K,) float32: share of the images of the two that the confident joint assigns to the other one."""
    jumbled: np.ndarray
    """(K,) bool."""
    overlaps_with: np.ndarray
    """(K,) int64: the class that is the same as this one; -1: none."""


@dataclass(frozen=True)
class _Pair:
    """Two classes, seen from one of them."""

    other: int
    auc: float
    error: float

    @property
    def is_one(self) -> bool:
        return self.auc + _DEVIATIONS * self.error < _SAME


def find_class_findings(predictions: OutOfFold, num_classes: int) -> ClassFindings:
    """Findings on K classes from out-of-fold predictions.

    Two classes a and b are one if log p(a) / p(b) does not separate the images labelled a from those labelled b: its
    AUC is that of two random halves of a class. A jumble is rarely recognised, even with the classes that cannot be
    told from it, and is predicted as all kinds of classes. Half of a split class is recognised half of the time, but
    both halves together as often as any class, so it is no jumble.
    """
    given = predictions.given
    sizes = np.bincount(given, minlength=num_classes)
    rows = np.split(np.argsort(given, kind="stable"), np.cumsum(sizes)[:-1])
    predicted = _in_chunks(predictions, lambda some: some.classes[np.arange(len(some.given)), some.probs.argmax(1)])
    pairs = _compare(predictions, rows, _mates(predictions, rows))
    recognised, recognised_with, spread = (np.full(num_classes, np.nan, np.float32) for _ in range(3))
    for k in np.flatnonzero(sizes):
        found = predicted[rows[k]]
        together = [int(k), *(p.other for p in pairs[k] if p.is_one)]
        recognised[k], recognised_with[k] = (found == k).mean(), np.isin(found, together).mean()
        spread[k] = _evenness(found, min(num_classes, len(found)))
    jumbled = _find_jumbled(recognised_with, spread, sizes)
    nearest = [min(mine, key=lambda p: p.auc, default=_Pair(-1, np.nan, np.nan)) for mine in pairs]
    counted = _confidently_counted(predictions, num_classes)
    return ClassFindings(
        num_images=sizes,
        recognised=recognised,
        recognised_with=recognised_with,
        spread=spread,
        nearest=np.array([p.other for p in nearest], np.int64),
        separability=np.array([p.auc for p in nearest], np.float32),
        separability_error=np.array([p.error for p in nearest], np.float32),
        overlap=np.array([_overlap(counted, rows, k, p.other) for k, p in enumerate(nearest)], np.float32),
        jumbled=jumbled,
        overlaps_with=_find_overlaps(pairs, jumbled, sizes),
    )


def _in_chunks(predictions: OutOfFold, of: Callable[[OutOfFold], np.ndarray]) -> np.ndarray:
    """What `of` says of each image, a chunk of images at a time: their classes as int64 take 256 bytes each."""
    num = len(predictions.given)
    return np.concatenate([of(predictions.take(slice(i, i + _CHUNK_ROWS))) for i in range(0, max(1, num), _CHUNK_ROWS)])


def _mates(predictions: OutOfFold, rows: list[np.ndarray]) -> list[np.ndarray]:
    """For each class, the few others that share the most probability with it, in both directions."""
    num, sizes = len(rows), np.array([len(mine) for mine in rows])
    dense = np.zeros((num, num))
    for k, mine in enumerate(rows):
        for start in range(0, len(mine), _CHUNK_ROWS):
            some = predictions.take(mine[start : start + _CHUNK_ROWS])
            there = some.classes >= 0
            dense[k] += np.bincount(some.classes[there], some.probs[there] / len(mine), num)
    mass = csr_matrix(dense)
    shared = (mass + mass.T).tocsr()
    shared.setdiag(0)
    mates = []
    for start, end in zip(shared.indptr[:-1], shared.indptr[1:], strict=True):
        value, which = shared.data[start:end], shared.indices[start:end]
        best = np.argsort(-value, kind="stable")[:_NUM_MATES]
        mates.append(which[best][(value[best] > 0) & (sizes[which[best]] > 0)])
    return mates


def _compare(predictions: OutOfFold, rows: list[np.ndarray], mates: list[np.ndarray]) -> list[list[_Pair]]:
    """How well each class can be told from its mates, and from the classes whose mate it is."""
    pairs: list[list[_Pair]] = [[] for _ in rows]
    wanted = {(min(a, int(b)), max(a, int(b))) for a, mine in enumerate(mates) for b in mine if len(rows[a])}
    for a, b in sorted(wanted):
        auc, error = _compute_auc(_lead(predictions, rows[a], b), -_lead(predictions, rows[b], a))
        pairs[a].append(_Pair(b, auc, error))
        pairs[b].append(_Pair(a, auc, error))
    return pairs


def _lead(predictions: OutOfFold, rows: np.ndarray, other: int) -> np.ndarray:
    """log p(given) - log p(other) of rows (r,); if `other` was not kept, with the smallest probability that was."""
    some = predictions.take(rows)
    probs, is_other = some.probs, some.classes == other
    of_other = np.where(is_other.any(1), (probs * is_other).sum(1), probs[:, -1])
    lead: np.ndarray = np.log(probs[:, 0] + _TINY) - np.log(of_other + _TINY)
    return lead


def _compute_auc(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Probability that one of `first` exceeds one of `second`, and its standard error (Hanley & McNeil 1982)."""
    num, other = len(first), len(second)
    ranks = rankdata(np.concatenate([first, second]))[:num].sum()
    auc = float((ranks - num * (num + 1) / 2) / (num * other))
    of_first, of_second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (num - 1) * (of_first - auc**2) + (other - 1) * (of_second - auc**2)
    return auc, float(np.sqrt(max(0.0, variance) / (num * other)))


def _evenness(found: np.ndarray, most: int) -> float:
    """Entropy of the class numbers `found` over that of `most` equally frequent ones (Pielou 1966), 0 .. 1.

    A small sample underestimates the entropy; Miller's correction (1955) removes the mean bias.
    """
    if most < 2:
        return 0.0
    counts = np.unique(found, return_counts=True)[1]
    shares = counts / len(found)
    entropy = -(shares * np.log(shares)).sum() + (len(counts) - 1) / (2 * len(found))
    return float(min(1.0, entropy / np.log(most)))


def _find_jumbled(recognised_with: np.ndarray, spread: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Classes (K,) bool recognised clearly less often than the median one, and predicted as all kinds of classes."""
    judged = sizes >= _FEWEST_IMAGES
    if not judged.any():
        return judged
    error = np.sqrt(recognised_with * (1 - recognised_with) / np.maximum(sizes, 1))
    seldom = recognised_with + _DEVIATIONS * error < _JUMBLED_SHARE * np.median(recognised_with[judged])
    jumbled: np.ndarray = judged & seldom & (spread >= _SPREAD)
    return jumbled


def _find_overlaps(pairs: list[list[_Pair]], jumbled: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each class, the one that is the same, (K,) int64; -1: none, as for every jumble."""
    sound = ~jumbled & (sizes >= _FEWEST_IMAGES)
    found = np.full(len(pairs), -1, np.int64)
    for k in np.flatnonzero(sound):
        same = [p for p in pairs[k] if p.is_one and sound[p.other]]
        if same:
            found[k] = min(same, key=lambda p: p.auc).other
    return found


def _confidently_counted(predictions: OutOfFold, num_classes: int) -> np.ndarray:
    """The class to which the confident joint assigns each image (Northcutt et al. 2021), (n,) int64; -1: none.

    It is the most probable of the classes whose probability reaches its mean over the images labelled so.
    """
    given, own = predictions.given, np.nan_to_num(predictions.self_confidence)
    sums = np.bincount(given, weights=own, minlength=num_classes)
    sizes = np.bincount(given, minlength=num_classes)
    enough = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)

    def count(some: OutOfFold) -> np.ndarray:
        classes, probs = some.classes, some.probs
        reached = (classes >= 0) & (probs >= enough[classes])
        best = np.where(reached, probs, -1).argmax(1)
        line = np.arange(len(classes))
        return np.where(reached[line, best], classes[line, best], -1)

    return _in_chunks(predictions, count)


def _overlap(counted: np.ndarray, rows: list[np.ndarray], a: int, b: int) -> float:
    """Share of the images of `a` and `b` that the confident joint assigns to the other one; NaN without any."""
    if b < 0:
        return float("nan")
    of_a, of_b = counted[rows[a]], counted[rows[b]]
    crossed = (of_a == b).sum() + (of_b == a).sum()
    total = crossed + (of_a == a).sum() + (of_b == b).sum()
    return float(crossed / total) if total else float("nan")
