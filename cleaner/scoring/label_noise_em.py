"""One EM over how labels go wrong: frozen evidence, frozen parameters, pure steps. docs/methods.md, "The rule auto".

Arrays over classes and images are (1 + m, n), the given class first: sums over classes are then fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold

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
_CALIBRATING = (0.2, 4.0)
_TEMPERATURE_STEP = 1.5
"""Once chosen, the temperature changes by at most this factor at a time."""
_TEMPERATURE_ROWS = 12_500
_CONFUSION_WEIGHTS = (0.001, 0.95)
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of n labels."""

    num_classes: int
    classes: np.ndarray
    """(1 + m, n) int64: the given class, then the most probable others; 0 where there is none."""
    there: np.ndarray
    """(1 + m, n) bool: there is one."""
    log_probs: np.ndarray
    """(1 + m, n) float32: the model's log probabilities of them; -inf where there is none."""
    decided: np.ndarray
    """(n,) int64: the right class where a person gave it, else UNDECIDED or NO_CLASS."""

    @classmethod
    def of(cls, predictions: OutOfFold, num_classes: int, decided: np.ndarray) -> Evidence:
        """From out-of-fold predictions for the n images."""
        classes = np.ascontiguousarray(predictions.classes.T)
        there = classes >= 0
        log_probs = np.log(np.maximum(predictions.probs.T, _TINY)).astype(np.float32, order="C")
        log_probs[~there] = -np.inf
        return cls(num_classes, np.where(there, classes, 0), there, log_probs, decided)

    @cached_property
    def given(self) -> np.ndarray:
        """(n,) int64: the given classes."""
        given: np.ndarray = self.classes[0]
        return given

    @cached_property
    def free(self) -> np.ndarray:
        """(n,) bool: no person spoke."""
        free: np.ndarray = self.decided == UNDECIDED
        return free

    @cached_property
    def pairs(self) -> np.ndarray:
        """(1 + m, n) int64: right and given class as one number, an index into the flat transition matrix."""
        pairs: np.ndarray = self.classes * self.num_classes + self.given
        return pairs

    @cached_property
    def free_classes(self) -> np.ndarray:
        """The classes of the free rows, flat."""
        flat: np.ndarray = self.classes[:, self.free].ravel()
        return flat

    @cached_property
    def num_rows(self) -> int:
        """How many rows have a class."""
        return max(1, int((self.decided != NO_CLASS).sum()))

    @cached_property
    def looks(self) -> np.ndarray:
        """(n,) float32: probability of the given label, calibrated: how often one like it is given to such images."""
        rows = _some_rows(len(self.given))
        free, part = self.free[rows], self.log_probs[:, rows]
        temperature = 1.0
        if free.any():

            def loss(log_temperature: float) -> float:
                return -float(np.log(_softmax(part / np.float32(np.exp(log_temperature)))[0, free] + _TINY).mean())

            bounds = np.log(_CALIBRATING)
            found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 0.01})
            temperature = float(np.exp(found.x))
        probs: np.ndarray = np.maximum(_softmax(self.log_probs / np.float32(temperature))[0], 1e-6)
        return probs


@dataclass(frozen=True, eq=False)
class Parameters:
    """How labels go wrong."""

    prior: np.ndarray
    """(K,) float64: shares of the right classes."""
    transition: np.ndarray
    """(K, K) float32: row y, column g: share of class y's images whose given label is g; rows sum to 1."""
    temperature: float = 1.0
    """The model's logits are divided by it."""
    temperatures: tuple[float, float] = _TEMPERATURES
    """Bounds of the next choice."""
    confusion_weight: float = 0.0
    """Share of the labels that are drawn from what the image looks like, whatever its class."""
    spread_rows: float = 1.0
    """Destinations of a class's wrong labels are shrunk towards an even spread, which counts as this many images."""


@dataclass(frozen=True, eq=False)
class Counted:
    """The rows that the transition matrix counts."""

    rows: np.ndarray
    """(n,) bool, free ones."""
    pairs: np.ndarray
    """Their pairs, flat."""
    by_people: np.ndarray
    """(K, K) float64: pairs of which a person named the right class."""
    finds_spread: bool
    """Whether the shrinkage of destinations is estimated."""

    @classmethod
    def of(cls, evidence: Evidence, rows: np.ndarray, *, finds_spread: bool = False) -> Counted:
        """Count `rows` (n,) bool alone, with or without a verdict: people mostly look at unclear images."""
        num, mine = evidence.num_classes, rows & (evidence.decided >= 0)
        pairs = np.bincount(evidence.decided[mine] * num + evidence.given[mine], minlength=num * num)
        free = rows & evidence.free
        by_people = pairs.astype(np.float64).reshape(num, num)
        return cls(free, evidence.pairs[:, free].ravel(), by_people, finds_spread)


def start(evidence: Evidence) -> Parameters:
    """The first guess: labels as given, a little noise spread evenly."""
    num = evidence.num_classes
    counts = np.bincount(evidence.given[evidence.decided != NO_CLASS], minlength=num)
    transition = np.full((num, num), _FIRST_RATE / max(1, num - 1), np.float32)
    np.fill_diagonal(transition, 1 - _FIRST_RATE)
    return Parameters(counts / evidence.num_rows, transition)


def class_probs(evidence: Evidence, parameters: Parameters, rows: slice = slice(None)) -> np.ndarray:
    """Probabilities of the classes (1 + m, r) float32 under the prior, before the given label counts."""
    logits: np.ndarray = evidence.log_probs[:, rows] * np.float32(1 / parameters.temperature)
    logits += np.log(parameters.prior + 1e-9).astype(np.float32)[evidence.classes[:, rows]]
    return _softmax(logits)


def posterior(evidence: Evidence, parameters: Parameters) -> np.ndarray:
    """P(the class is right | image, given label), (1 + m, n) float32."""
    by_class, by_looks = _joint(evidence, parameters, slice(None))
    joint: np.ndarray = by_class if by_looks is None else by_class + by_looks
    joint /= joint.sum(0) + _TINY
    return joint


def choose_temperature(evidence: Evidence, parameters: Parameters) -> Parameters:
    """The same parameters with the temperature under which the given labels are most likely."""
    rows = _some_rows(len(evidence.given))
    free = evidence.free[rows]
    if not free.any():
        return parameters

    def loss(log_temperature: float) -> float:
        here = replace(parameters, temperature=float(np.exp(log_temperature)))
        by_class, by_looks = _joint(evidence, here, rows)
        likely = by_class.sum(0) if by_looks is None else by_class.sum(0) + by_looks.sum(0)
        return -float(np.log(likely[free] + _TINY).mean(dtype=np.float64))

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
    num = evidence.num_classes
    by_class, by_looks = _joint(evidence, parameters, slice(None))
    joint = by_class if by_looks is None else by_class + by_looks
    total = joint.sum(0) + _TINY
    weight = parameters.confusion_weight
    if by_looks is not None and evidence.free.any():
        share = float((by_looks.sum(0) / total)[evidence.free].mean(dtype=np.float64))
        weight = float(np.clip(share, *_CONFUSION_WEIGHTS))
    joint /= total
    if by_looks is None:
        by_class = joint
    else:
        by_class /= total
    counts = np.bincount(counted.pairs, weights=_of(by_class, counted.rows).ravel(), minlength=num * num)
    wrong = counts.reshape(num, num) + counted.by_people
    sizes = wrong.sum(1)
    np.fill_diagonal(wrong, 0)
    spread_rows = _find_spread(wrong) if counted.finds_spread else parameters.spread_rows
    everyone = np.bincount(evidence.free_classes, weights=_of(joint, evidence.free).ravel(), minlength=num)
    mine = evidence.decided >= 0
    everyone += np.bincount(evidence.decided[mine], minlength=num)
    prior = (everyone + _PRIOR_ROWS) / (evidence.num_rows + _PRIOR_ROWS * num)
    transition = _shrink(wrong, sizes, spread_rows)
    return replace(parameters, prior=prior, transition=transition, confusion_weight=weight, spread_rows=spread_rows)


def _joint(evidence: Evidence, parameters: Parameters, rows: slice) -> tuple[np.ndarray, np.ndarray | None]:
    """P(class, given label | image), (1 + m, r): of labels given by class, and, with a confusion weight, by looks."""
    probs = class_probs(evidence, parameters, rows)
    by_class: np.ndarray = parameters.transition.ravel()[evidence.pairs[:, rows]]
    by_class *= probs
    weight = np.float32(parameters.confusion_weight)
    if not weight:
        return by_class, None
    by_class *= 1 - weight
    probs *= weight * evidence.looks[rows]
    return by_class, probs


def _shrink(wrong: np.ndarray, sizes: np.ndarray, spread_rows: float) -> np.ndarray:
    """The transition matrix (K, K) float32 of wrong labels (K, K), 0 on the diagonal, in classes of these sizes."""
    num = len(wrong)
    num_wrong = wrong.sum(1)
    rate = (num_wrong + _RATE_ROWS * num_wrong.sum() / max(1, sizes.sum())) / (sizes + _RATE_ROWS)
    shares: np.ndarray = wrong + spread_rows / max(1, num - 1)
    np.fill_diagonal(shares, 0)
    shares *= (rate / np.maximum(shares.sum(1), _TINY))[:, None]
    np.fill_diagonal(shares, 1 - rate)
    return shares.astype(np.float32)


def _find_spread(wrong: np.ndarray) -> float:
    """With how many rows to shrink the destinations of wrong labels to an even spread: the likeliest concentration.

    `wrong` (K, K): wrong labels by right and given class, 0 on the diagonal. Each row is taken as a draw from a
    multinomial whose shares come from a symmetric Dirichlet distribution (Minka 2000).
    """
    num = len(wrong)
    counts = wrong[np.linspace(0, num - 1, min(num, _SPREAD_CLASSES)).astype(int)]
    sizes, cells = counts.sum(1), counts[counts > 1e-6]

    def loss(log_rows: float) -> float:
        rows = np.exp(log_rows)
        each = rows / max(1, num - 1)
        return -float((gammaln(rows) - gammaln(rows + sizes)).sum() + (gammaln(cells + each) - gammaln(each)).sum())

    low, high = np.log(_SPREAD_BOUNDS)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 0.1}).x))


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Over classes (1 + m, r), in place of `logits`."""
    logits -= logits.max(0)
    np.exp(logits, out=logits)
    logits /= logits.sum(0)
    return logits


def _some_rows(num: int) -> slice:
    """At most `_TEMPERATURE_ROWS` of `num` rows, at even distances."""
    return slice(None, None, max(1, num // _TEMPERATURE_ROWS))


def _of(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The columns `rows` (n,) bool of values (., n); no copy if that is all of them."""
    return values if rows.all() else values[:, rows]
