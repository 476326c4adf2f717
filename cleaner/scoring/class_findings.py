"""Which classes are a jumble, and which two are one: from out-of-fold predictions alone. docs/methods.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.stats import rankdata

from cleaner.scoring.label_noise import Candidates

_NUM_MATES = 3
"""So many classes are tested against each class: those that share most probability with it."""
_SAME = 0.7
"""Two classes are one where even the upper bound of their AUC is below. benchmarks/class_findings.py, tune part."""
_JUMBLED_SHARE = 0.5
"""A jumble is recognised less than this times as often as the middle class. The same benchmark."""
_SPREAD = 0.8
"""And its predictions are spread at least this evenly over the classes. The same benchmark."""
_DEVIATIONS = 1.64
"""Bounds are one-sided, of 95 %."""
_FEWEST_IMAGES = 20
"""Of a smaller class nothing is said; `cleaner balance` tests those by coherence."""
_TINY = 1e-12


@dataclass(frozen=True)
class ClassFindings:
    """Evidence on K classes, and what follows from it."""

    num_images: np.ndarray
    """(K,) int64: images whose given label it is."""
    recognised: np.ndarray
    """(K,) float32: share of them whose most probable class it is; NaN without images."""
    recognised_with: np.ndarray
    """(K,) float32: the same, where a class that it cannot be told from counts too."""
    spread: np.ndarray
    """(K,) float32: how evenly their predictions lie over the classes: entropy over the greatest possible, 0 .. 1."""
    nearest: np.ndarray
    """(K,) int64: the class that it is told apart from worst; -1: none."""
    separability: np.ndarray
    """(K,) float32: AUC of telling the images of the two apart; 0.5: not at all, 1: always."""
    separability_error: np.ndarray
    """(K,) float32: its standard error."""
    overlap: np.ndarray
    """(K,) float32: share of the images of the two that count for the other one in the confident joint."""
    jumbled: np.ndarray
    """(K,) bool."""
    overlaps_with: np.ndarray
    """(K,) int64: the class that it is one with; -1: none."""


@dataclass(frozen=True)
class _Pair:
    """Two classes, as seen from the one."""

    other: int
    auc: float
    error: float

    @property
    def is_one(self) -> bool:
        return self.auc + _DEVIATIONS * self.error < _SAME


def find_class_findings(candidates: Candidates, num_classes: int) -> ClassFindings:
    """Judge K classes by what models that did not learn from an image say of it.

    `candidates`: of n images, the given class first. Two classes are one where the log of p(a) / p(b) does not tell
    images given a from images given b: its AUC is that of two random halves. A jumble is hardly recognised, the
    classes that it cannot be told from counted in, and taken for classes of all kinds. A class in two halves is
    recognised half of the time, and its halves together as often as any class: no jumble.
    """
    given = candidates.classes[:, 0]
    sizes = np.bincount(given, minlength=num_classes)
    rows = np.split(np.argsort(given, kind="stable"), np.cumsum(sizes)[:-1])
    predicted = candidates.classes[np.arange(len(given)), candidates.probs.argmax(1)]
    pairs = _compare(candidates, rows, _mates(candidates, sizes))
    recognised, recognised_with, spread = (np.full(num_classes, np.nan, np.float32) for _ in range(3))
    for k in np.flatnonzero(sizes):
        found = predicted[rows[k]]
        together = [int(k), *(p.other for p in pairs[k] if p.is_one)]
        recognised[k], recognised_with[k] = (found == k).mean(), np.isin(found, together).mean()
        spread[k] = _evenness(found, min(num_classes, len(found)))
    jumbled = _find_jumbled(recognised_with, spread, sizes)
    nearest = [min(mine, key=lambda p: p.auc, default=_Pair(-1, np.nan, np.nan)) for mine in pairs]
    counted = _confidently_counted(candidates, num_classes)
    return ClassFindings(
        sizes, recognised, recognised_with, spread,
        nearest=np.array([p.other for p in nearest], np.int64),
        separability=np.array([p.auc for p in nearest], np.float32),
        separability_error=np.array([p.error for p in nearest], np.float32),
        overlap=np.array([_overlap(counted, rows, k, p.other) for k, p in enumerate(nearest)], np.float32),
        jumbled=jumbled,
        overlaps_with=_find_overlaps(pairs, jumbled, sizes),
    )  # fmt: skip


def _mates(candidates: Candidates, sizes: np.ndarray) -> list[np.ndarray]:
    """For each class the few others that share most probability with it, both ways."""
    there = (candidates.classes >= 0).ravel()
    given = np.repeat(candidates.classes[:, 0], candidates.classes.shape[1])[there]
    weights = candidates.probs.ravel()[there] / sizes[given]
    mass = coo_matrix((weights, (given, candidates.classes.ravel()[there])), shape=(len(sizes), len(sizes))).tocsr()
    shared = (mass + mass.T).tocsr()
    shared.setdiag(0)
    mates = []
    for start, end in zip(shared.indptr[:-1], shared.indptr[1:], strict=True):
        value, which = shared.data[start:end], shared.indices[start:end]
        best = np.argsort(-value, kind="stable")[:_NUM_MATES]
        mates.append(which[best][(value[best] > 0) & (sizes[which[best]] > 0)])
    return mates


def _compare(candidates: Candidates, rows: list[np.ndarray], mates: list[np.ndarray]) -> list[list[_Pair]]:
    """How well each class is told apart from those that are its mates, or whose mate it is."""
    pairs: list[list[_Pair]] = [[] for _ in rows]
    wanted = {(min(a, int(b)), max(a, int(b))) for a, mine in enumerate(mates) for b in mine if len(rows[a])}
    for a, b in sorted(wanted):
        auc, error = _compute_auc(_lead(candidates, rows[a], b), -_lead(candidates, rows[b], a))
        pairs[a].append(_Pair(b, auc, error))
        pairs[b].append(_Pair(a, auc, error))
    return pairs


def _lead(candidates: Candidates, rows: np.ndarray, other: int) -> np.ndarray:
    """log p(given) - log p(other) of rows (r,); where `other` is not among the candidates it is as their least."""
    probs = candidates.probs[rows]
    is_other = candidates.classes[rows] == other
    of_other = np.where(is_other.any(1), (probs * is_other).sum(1), probs[:, -1])
    lead: np.ndarray = np.log(probs[:, 0] + _TINY) - np.log(of_other + _TINY)
    return lead


def _compute_auc(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Probability that one of `first` is above one of `second`, and its error (Hanley & McNeil 1982)."""
    num, other = len(first), len(second)
    ranks = rankdata(np.concatenate([first, second]))[:num].sum()
    auc = float((ranks - num * (num + 1) / 2) / (num * other))
    of_first, of_second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (num - 1) * (of_first - auc**2) + (other - 1) * (of_second - auc**2)
    return auc, float(np.sqrt(max(0.0, variance) / (num * other)))


def _evenness(found: np.ndarray, most: int) -> float:
    """Entropy of the class numbers `found` over that of `most` equally frequent ones (Pielou 1966), 0 .. 1.

    Few images show less than the whole entropy; Miller's correction (1955) adds what they miss on average.
    """
    if most < 2:
        return 0.0
    counts = np.unique(found, return_counts=True)[1]
    shares = counts / len(found)
    entropy = -(shares * np.log(shares)).sum() + (len(counts) - 1) / (2 * len(found))
    return float(min(1.0, entropy / np.log(most)))


def _find_jumbled(recognised_with: np.ndarray, spread: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Classes (K,) bool that are recognised clearly less than the middle one, and taken for all kinds of classes."""
    judged = sizes >= _FEWEST_IMAGES
    if not judged.any():
        return judged
    error = np.sqrt(recognised_with * (1 - recognised_with) / np.maximum(sizes, 1))
    seldom = recognised_with + _DEVIATIONS * error < _JUMBLED_SHARE * np.median(recognised_with[judged])
    jumbled: np.ndarray = judged & seldom & (spread >= _SPREAD)
    return jumbled


def _find_overlaps(pairs: list[list[_Pair]], jumbled: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each class (K,) the one that it is one with; -1: none. Jumbles are one with nothing."""
    sound = ~jumbled & (sizes >= _FEWEST_IMAGES)
    found = np.full(len(pairs), -1, np.int64)
    for k in np.flatnonzero(sound):
        same = [p for p in pairs[k] if p.is_one and sound[p.other]]
        if same:
            found[k] = min(same, key=lambda p: p.auc).other
    return found


def _confidently_counted(candidates: Candidates, num_classes: int) -> np.ndarray:
    """The class that each image counts for in the confident joint (Northcutt et al. 2021), (n,) int64; -1: none.

    The most probable of the classes whose probability reaches the mean over the images given that class.
    """
    given, own = candidates.classes[:, 0], candidates.probs[:, 0]
    sums = np.bincount(given, weights=own, minlength=num_classes)
    sizes = np.bincount(given, minlength=num_classes)
    enough = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    reached = (candidates.classes >= 0) & (candidates.probs >= enough[candidates.classes])
    best = np.where(reached, candidates.probs, -1).argmax(1)
    line = np.arange(len(given))
    return np.where(reached[line, best], candidates.classes[line, best], -1)


def _overlap(counted: np.ndarray, rows: list[np.ndarray], a: int, b: int) -> float:
    """Share of the images of `a` and `b` in the confident joint that count for the other one."""
    if b < 0:
        return float("nan")
    of_a, of_b = counted[rows[a]], counted[rows[b]]
    crossed = (of_a == b).sum() + (of_b == a).sum()
    total = crossed + (of_a == a).sum() + (of_b == b).sum()
    return float(crossed / total) if total else float("nan")
