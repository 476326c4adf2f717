"""How probable is it that a given label is wrong: EM over a transition matrix, see docs/methods.md."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED, OutOfFold

_FIRST_STEPS, _MORE_STEPS, _INNER_STEPS = 6, 2, 5
_FIRST_RATE = 0.1
"""Noise rate that the first transition matrix assumes, spread evenly."""
_RATE_ROWS = 100.0
"""A class's noise rate is shrunk towards the overall rate, which counts as this many images of the class."""
_SPREAD_ROWS = (1.0, 5.0)
"""Where a class's wrong labels go is shrunk towards an even spread of this many; the second for the last steps."""
_SPREAD_BOUNDS = (0.1, 3000.0)
"""With clear images that number is estimated, within these bounds."""
_SPREAD_CLASSES = 100
"""At most this many classes are used to estimate it."""
_PRIOR_ROWS = 5.0
_TEMPERATURES = (0.3, 4.0)
_TEMPERATURE_STEP = 1.5
"""Once chosen, the temperature changes by at most this factor at a time."""
_TEMPERATURE_ROWS = 12_500
_CLEAR = (0.98, 0.9)
"""An image is clear where the model gives one class more than this; the second for instance-dependent noise."""
_MIN_CLEAR = 0.1
"""If a smaller share of the images is clear, all of them count."""
_CONFUSION_WEIGHTS = (0.1, 0.15)
"""Share of labels drawn from what an image looks like, in rounds and in the final estimate."""
_FOLLOWS = (0.3, 0.5)
"""Correlation of noise and confusion: up to the first the noise is independent of the instance, from the second on it
depends on it in full."""
_RATHER_CLEAR = 0.8
_STEADY = (0.78, 0.88)
"""Noise rate of the clearest images (above .98) over that of rather clear ones (above .8): up to the first the noise
depends on the instance in full, from the second on not at all."""
_TINY = 1e-12


@dataclass(frozen=True)
class LabelNoise:
    """The estimated noise of n labels."""

    issue_prob: np.ndarray
    """(n,) float32: probability that the given label is wrong."""
    suggested: np.ndarray
    """(n,) int64: the most probable other class; -1: none."""
    suggested_prob: np.ndarray
    """(n,) float32: probability that it is the right one."""
    transition: np.ndarray
    """(K, K) float32: row y, column g: share of class y's images whose given label is g; rows sum to 1."""
    temperature: float
    """Logits were divided by it."""
    follows_confusion: float
    """Correlation of wrong labels and the model's confusions over all pairs of classes, -1 .. 1."""
    steadiness: float
    """Noise rate of the clearest images over that of rather clear ones; 1 where it was not computed."""
    confusion_weight: float
    """Weight of the instance-dependent part of the noise, 0 .. 0.15."""
    clear: float
    """Share of the images that the transition matrix was learned from."""


class NoiseEstimate:
    """Which labels are wrong, and how labels go wrong, from out-of-fold predictions alone.

    The right label y of an image x with given label g is latent: P(y | x, g) is proportional to p(x | y) pi(y)
    T(g | y), with p(x | y) from the predictions under a temperature, pi the prior of the right classes, T the
    transition matrix. EM (Dempster, Laird & Rubin 1977; Dawid & Skene 1979 with one annotator and the model as
    evidence) fits T, pi and, by the likelihood of the given labels, the temperature. Noise rates and destinations are
    shrunk towards those of all classes.

    People err where images look alike, which T alone cannot express. Where the estimated noise follows the model's
    confusions (correlation over pairs of classes) it is instance-dependent: T(g | y) becomes
    T(g | y) (1 - c (1 - p_y)) + c p_g for g != y, with the confusion weight c.
    """

    def __init__(self, predictions: OutOfFold, num_classes: int, decided: np.ndarray) -> None:
        """`decided` (n,) int64: the right class where a person gave it, else UNDECIDED or NO_CLASS."""
        self._first = _Fit(predictions, num_classes, decided)
        self._first.run_first()
        self._first.find_dependence()

    def for_rounds(self) -> LabelNoise:
        """The estimate that weights the rows of the next round."""
        fit = copy(self._first)
        if fit.dependence:
            fit.start()
            fit.confusion_weight = fit.dependence * _CONFUSION_WEIGHTS[0]
            fit.run_first()
        return fit.result()

    def final(self) -> LabelNoise:
        """The calibrated probabilities, not meant for further rounds.

        A model errs on hard images, and EM takes such errors for wrong labels. On clear images it hardly errs, so T is
        learned from those alone, and noise counts as instance-dependent only if it grows as images get less clear.
        In the rounds that would do harm: while the model itself has learned much noise, it is clear about the wrong
        images, and severe weights are what breaks the noise.
        """
        fit = copy(self._first)
        fit.ask_clear_images()
        return fit.result()


class _Fit:
    """State of one EM run. Arrays over classes and images are (1 + m, n): sums over classes are then fast."""

    def __init__(self, predictions: OutOfFold, num_classes: int, decided: np.ndarray) -> None:
        self.num_classes, self.confusion_weight = num_classes, 0.0
        self.follows, self.steadiness, self.dependence = 0.0, 1.0, 0.0
        classes = np.ascontiguousarray(predictions.classes.T)
        self.there = classes >= 0
        self.classes = np.where(self.there, classes, 0)
        self.given = classes[0]
        self.log_probs = np.log(np.maximum(predictions.probs.T, _TINY)).astype(np.float32, order="C")
        self.log_probs[~self.there] = -np.inf
        self.free = decided == UNDECIDED
        self.pairs = self.classes * num_classes + self.given  # (right, given), flat
        self.free_classes = self.classes[:, self.free].ravel()
        self.from_clear = False
        self.decided = decided
        self._learn_from(np.ones(len(decided), bool))
        self.counts_decided = self.pairs_decided.sum(1)
        self.num_rows = max(1, int((decided != NO_CLASS).sum()))
        self.start()

    def find_dependence(self) -> None:
        """How far the noise depends on the instance, 0 .. 1: people confuse what the model confuses."""
        self.follows = self._follow_confusion()
        self.dependence = _ramp(self.follows, *_FOLLOWS)

    def start(self) -> None:
        """The first guess: labels as given, a little noise spread evenly."""
        self.prior: np.ndarray = self._counts_of_given() / self.num_rows
        self.temperature, self.temperatures = 1.0, _TEMPERATURES
        self.spread_rows = _SPREAD_ROWS[0]
        self.transition = np.full((self.num_classes,) * 2, _FIRST_RATE / max(1, self.num_classes - 1), np.float32)
        np.fill_diagonal(self.transition, 1 - _FIRST_RATE)

    def run_first(self) -> None:
        """EM over all images."""
        self.run(_FIRST_STEPS - 2)
        self.spread_rows = _SPREAD_ROWS[1]
        self.run(2)

    def run(self, num_steps: int) -> None:
        """Steps of EM; every few, the temperature is chosen again."""
        for _ in range(num_steps):
            self.choose_temperature()
            for _ in range(_INNER_STEPS):
                self.step()

    def ask_clear_images(self) -> None:
        """Go on with T from clear images; noise depends on the instance only if it grows as they get less clear."""
        if self.dependence:
            self.confusion_weight = self.dependence * _CONFUSION_WEIGHTS[1]
            self.run(_MORE_STEPS)
            sure, wrong = self._model(slice(None), self.temperature).max(0), 1 - self.posterior()[0]
            clearest, clear = (wrong[self.free & (sure > level)] for level in (_CLEAR[0], _RATHER_CLEAR))
            if len(clearest):
                self.steadiness = float(clearest.mean() / max(clear.mean(), _TINY))
            self.dependence *= 1 - _ramp(self.steadiness, *_STEADY)
            self.confusion_weight = self.dependence * _CONFUSION_WEIGHTS[1]
        sure = self._model(slice(None), self.temperature).max(0)
        clear = sure > _CLEAR[0] + self.dependence * (_CLEAR[1] - _CLEAR[0])
        self.from_clear = bool((clear & self.free).sum() >= max(1, _MIN_CLEAR * self.free.sum()))
        if self.from_clear:
            self._learn_from(clear)
        self.run(_MORE_STEPS)

    def _learn_from(self, rows: np.ndarray) -> None:
        """Let T count `rows` (n,) bool alone, with or without a verdict: people mostly look at unclear images."""
        self.rows = rows & self.free
        self.rows_pairs = self.pairs[:, self.rows].ravel()
        mine = rows & (self.decided >= 0)
        num = self.num_classes
        pairs = np.bincount(self.decided[mine] * num + self.given[mine], minlength=num * num)
        self.pairs_decided: np.ndarray = pairs.astype(np.float64).reshape(num, num)

    def _counts_of_given(self) -> np.ndarray:
        counts: np.ndarray = np.bincount(self.given[self.decided != NO_CLASS], minlength=self.num_classes)
        return counts

    def _model(self, rows: slice, temperature: float) -> np.ndarray:
        """Probabilities of the classes (1 + m, r) under the prior, before the given label counts."""
        probs: np.ndarray = self.log_probs[:, rows] * np.float32(1 / temperature)
        probs += np.log(self.prior + 1e-9).astype(np.float32)[self.classes[:, rows]]
        probs -= probs.max(0)
        np.exp(probs, out=probs)
        probs /= probs.sum(0)
        return probs

    def _joint(self, rows: slice, model: np.ndarray) -> np.ndarray:
        """P(the class is right and the given label is what it is), (1 + m, r)."""
        likely: np.ndarray = self.transition.ravel()[self.pairs[:, rows]]
        if self.confusion_weight:
            likely *= 1 - self.confusion_weight * (1 - model)
            likely[1:] += self.confusion_weight * model[:1]
        likely *= model
        return likely

    def choose_temperature(self) -> None:
        """The temperature under which the given labels are most likely."""
        rows = slice(None, None, max(1, len(self.given) // _TEMPERATURE_ROWS))
        free = self.free[rows]
        if not free.any():
            return

        def loss(log_temperature: float) -> float:
            joint = self._joint(rows, self._model(rows, float(np.exp(log_temperature)))).sum(0)
            return -float(np.log(joint[free] + _TINY).mean(dtype=np.float64))

        found = minimize_scalar(loss, bounds=np.log(self.temperatures), method="bounded", options={"xatol": 0.01})
        self.temperature = float(np.exp(found.x))
        low, high = _TEMPERATURES
        around = self.temperature / _TEMPERATURE_STEP, self.temperature * _TEMPERATURE_STEP
        self.temperatures = max(low, around[0]), min(high, around[1])

    def posterior(self) -> np.ndarray:
        """P(the class is right | image, given label), (1 + m, n) float32."""
        joint: np.ndarray = self._joint(slice(None), self._model(slice(None), self.temperature))
        joint /= joint.sum(0) + _TINY
        return joint

    def step(self) -> None:
        """One step of EM: posterior, then transition matrix and prior."""
        num, posterior = self.num_classes, self.posterior()
        counts = np.bincount(self.rows_pairs, weights=_of(posterior, self.rows).ravel(), minlength=num * num)
        wrong = counts.reshape(num, num) + self.pairs_decided
        sizes = wrong.sum(1)
        np.fill_diagonal(wrong, 0)
        num_wrong = wrong.sum(1)
        rate = (num_wrong + _RATE_ROWS * num_wrong.sum() / max(1, sizes.sum())) / (sizes + _RATE_ROWS)
        if self.from_clear:
            self.spread_rows = _find_spread(wrong)
        wrong += self.spread_rows / max(1, num - 1)
        np.fill_diagonal(wrong, 0)
        wrong *= (rate / np.maximum(wrong.sum(1), _TINY))[:, None]
        np.fill_diagonal(wrong, 1 - rate)
        self.transition = wrong.astype(np.float32)
        everyone = np.bincount(self.free_classes, weights=_of(posterior, self.free).ravel(), minlength=num)
        everyone += self.counts_decided
        self.prior = (everyone + _PRIOR_ROWS) / (self.num_rows + _PRIOR_ROWS * num)

    def result(self) -> LabelNoise:
        """The estimate as it stands."""
        posterior = self.posterior()
        others = posterior[1:]
        best = others.argmax(0)
        line = np.arange(len(best))
        return LabelNoise(
            issue_prob=np.clip(1 - posterior[0], 0, 1).astype(np.float32),
            suggested=np.where(self.there[1 + best, line], self.classes[1 + best, line], -1),
            suggested_prob=others[best, line].astype(np.float32),
            transition=self.transition,
            temperature=self.temperature,
            follows_confusion=self.follows,
            steadiness=self.steadiness,
            confusion_weight=self.confusion_weight,
            clear=float(self.rows.mean()),
        )

    def _follow_confusion(self) -> float:
        """Correlation of wrong labels and confusions of images whose label seems right, over pairs of classes."""
        num = self.num_classes
        mine = (self.posterior().argmax(0) == 0) & self.free
        model = self._model(slice(None), self.temperature)[:, mine]
        pairs = self.given[mine] * num + self.classes[:, mine]
        confusion: np.ndarray = np.bincount(pairs.ravel(), weights=model.ravel(), minlength=num * num).reshape(num, num)
        confusion /= np.maximum(np.bincount(self.given[mine], minlength=num), 1)[:, None]
        off = ~np.eye(num, dtype=bool)
        x, y = np.sqrt(self.transition[off].astype(np.float64)), np.sqrt(confusion[off])
        x, y = x - x.mean(), y - y.mean()
        return float((x * y).sum() / (np.sqrt((x * x).sum() * (y * y).sum()) + _TINY))


def _of(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The columns `rows` (n,) bool of values (., n); no copy if that is all of them."""
    return values if rows.all() else values[:, rows]


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


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, linear between."""
    return float(np.clip((value - low) / (high - low), 0, 1))
