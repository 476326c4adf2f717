"""How probable is it that a given label is wrong: EM over a transition matrix, see docs/methods.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, logit

_OUTER_STEPS, _INNER_STEPS = 6, 5
_FIRST_RATE = 0.1
"""Noise rate that the first transition matrix assumes, spread evenly."""
_RATE_ROWS = 100.0
"""A class's noise rate is drawn towards the rate of all as if by so many of its images."""
_SPREAD_ROWS = (1.0, 5.0)
"""Where a class's wrong labels lie is drawn towards an even spread by so many; the second for the last steps."""
_PRIOR_ROWS = 5.0
_TEMPERATURES = (0.3, 4.0)
_TEMPERATURE_ROWS = 50_000
_CONFUSED = 0.1
"""Share of labels that a confused labeller draws from what the image looks like; see `fit_label_noise`."""
_FOLLOWS = (0.3, 0.5)
"""Correlation of noise with confusion from which the confused labeller comes in, and from which he is there wholly."""
_THRESHOLDS = (0.3, 0.5)
_TINY = 1e-12


@dataclass(frozen=True)
class Candidates:
    """What models that did not learn from n images say of them: the given class and the m most probable others."""

    classes: np.ndarray
    """(n, 1 + m) int64 class numbers: the given one first; -1: none."""
    probs: np.ndarray
    """(n, 1 + m) float32: their probabilities with every class equally frequent (the prior left out)."""


@dataclass(frozen=True)
class LabelNoise:
    """The noise of n labels, as estimated."""

    issue_prob: np.ndarray
    """(n,) float32: probability that the given label is wrong."""
    suggested: np.ndarray
    """(n,) int64: the most probable other class; -1: none."""
    suggested_prob: np.ndarray
    """(n,) float32: probability that it is the right one."""
    transition: np.ndarray
    """(K, K) float32: row y, column g: share of class y's images that stand under g; rows sum to 1."""
    temperature: float
    """Logits were divided by it."""
    follows_confusion: float
    """Correlation over all pairs of classes of wrong labels and of the model's confusions, -1 .. 1."""
    confused: float
    """Weight of the confused labeller, 0 .. 0.1."""


def fit_label_noise(candidates: Candidates, num_classes: int, known: np.ndarray) -> LabelNoise:
    """Estimate who is wrong, and how labels go wrong, from out-of-fold predictions alone.

    The right label y of an image x with given label g is latent: P(y | x, g) is proportional to p(x | y) pi(y)
    T(g | y), with p(x | y) from the candidates under a temperature, pi the prior of the right classes, T the
    transition matrix. EM (Dempster, Laird & Rubin 1977; Dawid & Skene 1979 with one annotator and the model as
    evidence) fits T, pi and, by the likelihood of the given labels, the temperature. Rates and destinations are
    smoothed towards those of all classes.

    People err where images look alike, which T alone cannot say. Where the estimated noise follows the model's
    confusions (correlation over pairs of classes), T(g | y) becomes T(g | y) (1 - c (1 - p_y)) + c p_g for g != y:
    with weight c a confused labeller draws the label from what the image looks like.

    `known` (n,) int64: the right class where a person said it, -1 elsewhere, -2 for rows that belong to no class.
    """
    noise = _fit(candidates, num_classes, known, 0.0)
    low, high = _FOLLOWS
    confused = _CONFUSED * float(np.clip((noise.follows_confusion - low) / (high - low), 0, 1))
    if not confused:
        return noise
    again = _fit(candidates, num_classes, known, confused)
    return LabelNoise(**vars(again) | {"follows_confusion": noise.follows_confusion})


def find_f1_threshold(issue_prob: np.ndarray) -> float:
    """The probability above which dropping gives the highest expected F1, within 0.3 .. 0.5.

    At the optimum it is half the F1 reached (Lipton, Elkan & Naryanaswamy 2014), so never above 0.5.
    `issue_prob` (n,): probabilities, NaN where there is none.
    """
    falling = np.sort(issue_prob[~np.isnan(issue_prob)].astype(np.float64))[::-1]
    low, high = _THRESHOLDS
    if not len(falling):
        return high
    f1 = 2 * np.cumsum(falling) / (np.arange(1, len(falling) + 1) + falling.sum() + _TINY)
    return float(np.clip(falling[int(f1.argmax())], low, high))


def recalibrate(issue_prob: np.ndarray, reviewed: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Probabilities mended by what people found: logit p' = a + b logit p, drawn towards a = 0, b = 1.

    `issue_prob` (n,) float32; `reviewed` (n,) bool: people judged the label; `wrong` (n,) bool: and found it wrong.
    Platt scaling (Platt 1999) with a normal prior of deviation 1 on a and 0.5 on b, so that a handful of verdicts
    moves little and hundreds decide. Returns (n,) float32.
    """
    seen = reviewed & ~np.isnan(issue_prob)
    if not seen.any():
        return issue_prob
    odds = logit(np.clip(issue_prob.astype(np.float64), 1e-6, 1 - 1e-6))
    sign = np.where(wrong[seen], 1, -1)

    def loss(line: np.ndarray) -> float:
        unlikely = -log_expit(sign * (line[0] + line[1] * odds[seen])).sum()
        return float(unlikely + line[0] ** 2 / 2 + 2 * (line[1] - 1) ** 2)

    intercept, slope = minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead").x
    mended: np.ndarray = expit(intercept + max(slope, 0.05) * odds).astype(np.float32)
    return mended


def _fit(candidates: Candidates, num_classes: int, known: np.ndarray, confused: float) -> LabelNoise:
    fit = _Fit(candidates, num_classes, known, confused)
    for step in range(_OUTER_STEPS):
        fit.choose_temperature()
        for _ in range(_INNER_STEPS):
            fit.step(_SPREAD_ROWS[step >= _OUTER_STEPS - 2])
    return fit.result()


class _Fit:
    """State of one EM run."""

    def __init__(self, candidates: Candidates, num_classes: int, known: np.ndarray, confused: float) -> None:
        self.num_classes, self.confused = num_classes, confused
        self.there = candidates.classes >= 0
        self.classes = np.where(self.there, candidates.classes, 0)
        self.given = candidates.classes[:, 0]
        self.log_probs = np.log(np.maximum(candidates.probs, _TINY)).astype(np.float32)
        self.free = known == -1
        self.pairs = self.classes * num_classes + self.given[:, None]  # (right, given), flat
        self.free_pairs = self.pairs[self.free].ravel()
        settled = known >= 0
        self.settled = np.bincount(known[settled] * num_classes + self.given[settled], minlength=num_classes**2).astype(
            np.float64
        )
        self.num_rows = max(1, int((self.free | settled).sum()))
        self.prior = self._counts_of_given() / self.num_rows
        self.temperature = 1.0
        self.transition = np.full((num_classes, num_classes), _FIRST_RATE / max(1, num_classes - 1), np.float32)
        np.fill_diagonal(self.transition, 1 - _FIRST_RATE)

    def _counts_of_given(self) -> np.ndarray:
        free = np.bincount(self.given[self.free], minlength=self.num_classes)
        counts: np.ndarray = free + self.settled.reshape(self.num_classes, -1).sum(0)
        return counts

    def _model(self, rows: slice, temperature: float) -> np.ndarray:
        """Probabilities of the candidates (r, 1 + m) under the prior, before the given label is looked at."""
        logits = self.log_probs[rows] / temperature + np.log(self.prior + 1e-9)[self.classes[rows]]
        logits = np.where(self.there[rows], logits, -np.inf)
        logits -= logits.max(1, keepdims=True)
        probs: np.ndarray = np.exp(logits, dtype=np.float32)
        probs /= probs.sum(1, keepdims=True)
        return probs

    def _joint(self, rows: slice, model: np.ndarray) -> np.ndarray:
        """P(candidate is right and the given label is what it is), (r, 1 + m)."""
        likely = self.transition.ravel()[self.pairs[rows]]
        if self.confused:
            likely = likely * (1 - self.confused * (1 - model))
            likely[:, 1:] += self.confused * model[:, :1]
        return np.asarray(model * likely)

    def choose_temperature(self) -> None:
        """The temperature under which the given labels are most likely."""
        rows = slice(None, None, max(1, len(self.given) // _TEMPERATURE_ROWS))
        free = self.free[rows]
        if not free.any():
            return

        def loss(log_temperature: float) -> float:
            joint = self._joint(rows, self._model(rows, float(np.exp(log_temperature)))).sum(1)
            return -float(np.log(joint[free] + _TINY).mean(dtype=np.float64))

        low, high = _TEMPERATURES
        found = minimize_scalar(loss, bounds=(np.log(low), np.log(high)), method="bounded", options={"xatol": 0.01})
        self.temperature = float(np.exp(found.x))

    def posterior(self) -> np.ndarray:
        """P(candidate is right | image, given label), (n, 1 + m) float32."""
        joint: np.ndarray = self._joint(slice(None), self._model(slice(None), self.temperature))
        joint /= joint.sum(1, keepdims=True) + _TINY
        return joint

    def step(self, spread_rows: float) -> None:
        """One step of EM: posterior, then transition matrix and prior."""
        num, posterior = self.num_classes, self.posterior()
        counts = np.bincount(self.free_pairs, weights=posterior[self.free].ravel(), minlength=num * num)
        wrong = (counts + self.settled).reshape(num, num)
        sizes = wrong.sum(1)
        np.fill_diagonal(wrong, 0)
        num_wrong = wrong.sum(1)
        rate = (num_wrong + _RATE_ROWS * num_wrong.sum() / self.num_rows) / (sizes + _RATE_ROWS)
        wrong += spread_rows / max(1, num - 1)
        np.fill_diagonal(wrong, 0)
        wrong *= (rate / np.maximum(wrong.sum(1), _TINY))[:, None]
        np.fill_diagonal(wrong, 1 - rate)
        self.transition = wrong.astype(np.float32)
        self.prior = (sizes + _PRIOR_ROWS) / (self.num_rows + _PRIOR_ROWS * num)

    def result(self) -> LabelNoise:
        """The estimate as it stands."""
        posterior = self.posterior()
        others = posterior[:, 1:]
        best = others.argmax(1)
        line = np.arange(len(others))
        return LabelNoise(
            issue_prob=np.clip(1 - posterior[:, 0], 0, 1).astype(np.float32),
            suggested=np.where(self.there[line, 1 + best], self.classes[line, 1 + best], -1),
            suggested_prob=others[line, best].astype(np.float32),
            transition=self.transition,
            temperature=self.temperature,
            follows_confusion=self._follow_confusion(posterior),
            confused=self.confused,
        )

    def _follow_confusion(self, posterior: np.ndarray) -> float:
        """Correlation of wrong labels with the confusions of images whose label seems right, over pairs of classes."""
        num = self.num_classes
        mine = (posterior.argmax(1) == 0) & self.free
        model = self._model(slice(None), self.temperature)[mine]
        pairs = self.given[mine][:, None] * num + self.classes[mine]
        confusion: np.ndarray = np.bincount(pairs.ravel(), weights=model.ravel(), minlength=num * num).reshape(num, num)
        confusion /= np.maximum(np.bincount(self.given[mine], minlength=num), 1)[:, None]
        off = ~np.eye(num, dtype=bool)
        x, y = np.sqrt(self.transition[off].astype(np.float64)), np.sqrt(confusion[off])
        x, y = x - x.mean(), y - y.mean()
        return float((x * y).sum() / (np.sqrt((x * x).sum() * (y * y).sum()) + _TINY))
