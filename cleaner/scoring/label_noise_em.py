"""One EM over how labels go wrong: frozen evidence, frozen parameters, pure steps. docs/methods.md, "The rule auto".

A step goes through the images in chunks and adds up their expected counts, in float64 and in one order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from cleaner.scoring.label_noise_evidence import Chunk, Evidence, softmax
from cleaner.scoring.out_of_fold import NO_CLASS

_FIRST_RATE = 0.1
"""Noise rate that the first transition matrix assumes, spread evenly."""
_RATE_ROWS = 100.0
"""A class's noise rate is shrunk towards the overall rate, which counts as this many images of the class."""
_SPREAD_BOUNDS = (0.1, 3000.0)
"""Where the shrinkage of destinations is estimated, it lies within these bounds."""
_SPREAD_CLASSES = 100
"""At most this many classes are used to estimate it."""
_PRIOR_ROWS = 5.0
_TEMPERATURES = (0.3, 4.0)
_TEMPERATURE_STEP = 1.5
"""Once chosen, the temperature changes by at most this factor at a time."""
_CONFUSION_WEIGHTS = (0.001, 0.95)
_BLOCK_VALUES = 1 << 16
"""Values of a K x K matrix that are worked on at a time."""
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Parameters:
    """How labels go wrong."""

    prior: np.ndarray
    """(K,) float64: shares of the right classes."""
    by_given: np.ndarray
    """(K, K) float32: row g, column y: share of class y's images whose given label is g; columns sum to 1."""
    temperature: float = 1.0
    """The model's logits are divided by it."""
    temperatures: tuple[float, float] = _TEMPERATURES
    """Bounds of the next choice."""
    confusion_weight: float = 0.0
    """Share of the labels that are drawn from what the image looks like, whatever its class."""
    spread_rows: float = 1.0
    """Destinations of a class's wrong labels are shrunk towards an even spread, which counts as this many images."""

    @cached_property
    def from_others(self) -> np.ndarray:
        """(K,) float32: how often label g is given to an image of another class, their mean."""
        wrong = self.by_given.sum(1) - self.by_given.diagonal()
        shares: np.ndarray = wrong / np.float32(max(1, len(wrong) - 1))
        return shares

    @property
    def transition(self) -> np.ndarray:
        """(K, K) float32: row y, column g; rows sum to 1."""
        return self.by_given.T


@dataclass(frozen=True, eq=False)
class Counted:
    """The rows of an evidence that the transition matrix counts."""

    rows: np.ndarray
    """(n,) bool, free ones."""
    by_people: np.ndarray
    """(p,) int64: given and right class of those whose right class a person named, an index into the flat matrix."""
    finds_spread: bool
    """Whether the shrinkage of destinations is estimated."""

    @classmethod
    def of(cls, evidence: Evidence, rows: np.ndarray, *, finds_spread: bool = False) -> Counted:
        """Count `rows` (n,) bool alone, with or without a verdict: people mostly look at unclear images."""
        mine = np.flatnonzero(rows & (evidence.decided >= 0))
        given = evidence.classes[0, mine].astype(np.int64)
        return cls(rows & evidence.free, given * evidence.num_classes + evidence.decided[mine], finds_spread)


def start(evidence: Evidence) -> Parameters:
    """The first guess: labels as given, a little noise spread evenly."""
    num = evidence.num_classes
    counts = np.bincount(evidence.classes[0, evidence.decided != NO_CLASS], minlength=num)
    by_given = np.full((num, num), _FIRST_RATE / max(1, num - 1), np.float32)
    np.fill_diagonal(by_given, 1 - _FIRST_RATE)
    return Parameters(counts / evidence.num_rows, by_given)


def start_from_predictions(evidence: Evidence, counted: Counted) -> Parameters:
    """Another first guess: what `counted` rows are given and predicted as, as if each prediction were right."""
    num = evidence.num_classes
    wrong = np.zeros((num, num))
    for chunk, best in evidence.map(lambda chunk: chunk.log_probs[: chunk.num_listed].argmax(0)):
        rows = counted.rows[chunk.part]
        predicted = chunk.classes[best, np.arange(len(best))]
        np.add.at(wrong, (chunk.given[rows], predicted[rows]), 1.0)
    sizes = wrong.sum(0)
    np.fill_diagonal(wrong, 0)
    first = start(evidence)
    return replace(first, by_given=_shrink(wrong, sizes, first.spread_rows))


def log_likelihood(evidence: Evidence, chunks: Iterable[Chunk], rows: np.ndarray, parameters: Parameters) -> float:
    """Mean log probability of the given labels of `rows` (n,) bool, those in `chunks` that no person spoke on."""
    total, num = 0.0, 0
    for chunk in chunks:
        by_class, by_looks = _joint(evidence, chunk, parameters)
        likely = by_class.sum(0) if by_looks is None else by_class.sum(0) + by_looks.sum(0)
        mine = chunk.free & rows[chunk.part]
        total += float(np.log(likely[mine] + _TINY).sum(dtype=np.float64))
        num += int(mine.sum())
    return total / max(1, num)


def class_probs(chunk: Chunk, parameters: Parameters) -> np.ndarray:
    """Probabilities of the classes (1 + m + r, c) float32 under the prior, before the given label counts; last of all
    that are not listed.
    """
    logits: np.ndarray = chunk.log_probs * np.float32(1 / parameters.temperature)
    num_listed = chunk.num_listed
    logits[:num_listed] += np.log(parameters.prior + 1e-9).astype(np.float32).take(chunk.classes)
    if len(logits) > num_listed:
        listed = parameters.prior.astype(np.float32).take(chunk.classes).sum(0)
        logits[num_listed] += np.log(np.maximum(1 - listed, np.float32(1e-9)))
    return softmax(logits)


def posterior(evidence: Evidence, chunk: Chunk, parameters: Parameters) -> np.ndarray:
    """P(the class is right | image, given label), (1 + m + r, c) float32."""
    by_class, by_looks = _joint(evidence, chunk, parameters)
    joint: np.ndarray = by_class if by_looks is None else by_class + by_looks
    joint /= joint.sum(0) + _TINY
    return joint


def choose_temperature(evidence: Evidence, parameters: Parameters) -> Parameters:
    """The same parameters with the temperature under which the given labels of a sample are most likely."""
    sample = evidence.sample
    if not sample.free.any():
        return parameters
    chunks = list(sample.chunks())

    def loss(log_temperature: float) -> float:
        here = replace(parameters, temperature=float(np.exp(log_temperature)))
        return -log_likelihood(sample, chunks, sample.free, here)

    bounds = np.log(parameters.temperatures)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 0.01})
    temperature = float(np.exp(found.x))
    low, high = _TEMPERATURES
    around = max(low, temperature / _TEMPERATURE_STEP), min(high, temperature * _TEMPERATURE_STEP)
    return replace(parameters, temperature=temperature, temperatures=around)


def step(evidence: Evidence, counted: Counted, parameters: Parameters) -> Parameters:
    """One step of EM: responsibilities, then transition matrix, prior and confusion weight.

    A label that was drawn from the image's looks does not count in the transition matrix.
    """
    num, weight = evidence.num_classes, parameters.confusion_weight
    counts, by_looks = _count(evidence, counted, parameters)
    wrong = counts.by_given
    each = counts.rest / max(1, num - 1)
    wrong += each[:, None]
    wrong.ravel()[:: num + 1] -= each
    np.add.at(wrong.ravel(), counted.by_people, 1.0)
    sizes = wrong.sum(0)
    np.fill_diagonal(wrong, 0)
    spread_rows = _find_spread(wrong) if counted.finds_spread else parameters.spread_rows
    mine = evidence.decided >= 0
    everyone = counts.everyone + np.bincount(evidence.decided[mine], minlength=num)
    prior = (everyone + _PRIOR_ROWS) / (evidence.num_rows + _PRIOR_ROWS * num)
    if weight and evidence.free.any():
        weight = float(np.clip(by_looks / int(evidence.free.sum()), *_CONFUSION_WEIGHTS))
    by_given = _shrink(wrong, sizes, spread_rows)
    return replace(parameters, prior=prior, by_given=by_given, confusion_weight=weight, spread_rows=spread_rows)


@dataclass(frozen=True, eq=False)
class _Counts:
    """Expected counts over the free rows."""

    by_given: np.ndarray
    """(K, K) float64: of those that count in the transition matrix, by given (row) and right class."""
    everyone: np.ndarray
    """(K,) float64: all of them, by right class."""
    rest: np.ndarray
    """(K,) float64: by given class, of those that count in the matrix and whose right class is not listed."""


def _count(evidence: Evidence, counted: Counted, parameters: Parameters) -> tuple[_Counts, float]:
    """The counts, and how many labels were drawn from looks."""
    num, total_by_looks = evidence.num_classes, 0.0
    if parameters.confusion_weight:
        _ = evidence.looks  # made once, before several threads ask for them
    total = _Counts(np.zeros((num, num)), np.zeros(num), np.zeros(num))
    for chunk, (counts, by_looks) in evidence.map(partial(_count_chunk, evidence, counted, parameters)):
        total.by_given[chunk.band] += counts.by_given
        total.everyone[:] += counts.everyone
        total.rest[:] += counts.rest
        total_by_looks += by_looks
    return total, total_by_looks


def _count_chunk(evidence: Evidence, counted: Counted, parameters: Parameters, chunk: Chunk) -> tuple[_Counts, float]:
    """The same of a chunk; of the matrix the rows of its band."""
    num, num_listed, num_by_looks = evidence.num_classes, chunk.num_listed, 0.0
    by_class, by_looks = _joint(evidence, chunk, parameters)
    joint = by_class if by_looks is None else by_class + by_looks
    total = joint.sum(0) + _TINY
    joint /= total
    if by_looks is None:
        by_class = joint
    else:
        num_by_looks = float((by_looks.sum(0) / total)[chunk.free].sum(dtype=np.float64))
        by_class /= total
    weights, all_weights = _only(by_class, counted.rows[chunk.part]), _only(joint, chunk.free)
    size = chunk.band.stop - chunk.band.start
    by_given = np.bincount(chunk.pairs.ravel(), weights[:num_listed].ravel(), size * num).reshape(size, num)
    everyone = np.bincount(chunk.classes.ravel(), all_weights[:num_listed].ravel(), num)
    everyone += all_weights[num_listed:].sum(dtype=np.float64) / num
    rest = np.bincount(chunk.given, weights[num_listed:].sum(0), num)
    return _Counts(by_given, everyone, rest), num_by_looks


def _joint(evidence: Evidence, chunk: Chunk, parameters: Parameters) -> tuple[np.ndarray, np.ndarray | None]:
    """P(class, given label | image), (1 + m + r, c): of labels given by class, and by looks if these have a weight."""
    probs = class_probs(chunk, parameters)
    by_class, num_listed = np.empty_like(probs), chunk.num_listed
    by_class[:num_listed] = parameters.by_given[chunk.band].ravel().take(chunk.pairs)
    by_class[num_listed:] = parameters.from_others.take(chunk.given)
    by_class *= probs
    weight = np.float32(parameters.confusion_weight)
    if not weight:
        return by_class, None
    by_class *= 1 - weight
    probs *= weight * evidence.looks[chunk.part]
    return by_class, probs


def _shrink(wrong: np.ndarray, sizes: np.ndarray, spread_rows: float) -> np.ndarray:
    """`Parameters.by_given` of wrong labels (K, K) by given and right class, 0 on the diagonal, in classes of these
    sizes (K,)."""
    num = len(wrong)
    num_wrong, each = wrong.sum(0), spread_rows / max(1, num - 1)
    rate = (num_wrong + _RATE_ROWS * num_wrong.sum() / max(1, sizes.sum())) / (sizes + _RATE_ROWS)
    scale = rate / np.maximum(num_wrong + each * (num - 1), _TINY)
    shares = np.empty((num, num), np.float32)
    size = max(1, _BLOCK_VALUES // num)
    for first in range(0, num, size):
        block = slice(first, first + size)
        shares[block] = (wrong[block] + each) * scale
    np.fill_diagonal(shares, 1 - rate)
    return shares


def _find_spread(wrong: np.ndarray) -> float:
    """With how many rows to shrink the destinations of wrong labels to an even spread: the likeliest concentration.

    `wrong` (K, K): wrong labels by given and right class, 0 on the diagonal. Each column is taken as a draw from a
    multinomial whose shares come from a symmetric Dirichlet distribution (Minka 2000).
    """
    num = len(wrong)
    counts = wrong[:, np.linspace(0, num - 1, min(num, _SPREAD_CLASSES)).astype(int)]
    sizes, cells = counts.sum(0), counts[counts > 1e-6]

    def loss(log_rows: float) -> float:
        rows = np.exp(log_rows)
        each = rows / max(1, num - 1)
        return -float((gammaln(rows) - gammaln(rows + sizes)).sum() + (gammaln(cells + each) - gammaln(each)).sum())

    low, high = np.log(_SPREAD_BOUNDS)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 0.1}).x))


def _only(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values (., c) with 0 in all columns but `rows` (c,) bool."""
    return values if rows.all() else values * rows
