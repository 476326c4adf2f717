"""How probable is it that a given label is wrong: EM over a transition matrix, see docs/methods.md."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, gammaln, log_expit

_FIRST_STEPS, _MORE_STEPS, _INNER_STEPS = 6, 2, 5
_FIRST_RATE = 0.1
"""Noise rate that the first transition matrix assumes, spread evenly."""
_RATE_ROWS = 100.0
"""A class's noise rate is drawn towards the rate of all as if by so many of its images."""
_SPREAD_ROWS = (1.0, 5.0)
"""Where a class's wrong labels lie is drawn towards an even spread by so many; the second for the last steps."""
_SPREAD_BOUNDS = (0.1, 3000.0)
"""From clear images, so many are estimated, within these bounds."""
_SPREAD_CLASSES = 100
"""So many classes at most are looked at for that."""
_PRIOR_ROWS = 5.0
_TEMPERATURES = (0.3, 4.0)
_TEMPERATURE_STEP = 1.5
"""Once chosen, the temperature moves by this factor at most at a time."""
_TEMPERATURE_ROWS = 12_500
_CLEAR = (0.98, 0.9)
"""An image is clear where the model gives one class more than this; the second where noise grows as images blur."""
_MIN_CLEAR = 0.1
"""With a smaller share of clear images, all count."""
_CONFUSED = (0.1, 0.15)
"""Share of labels that a confused labeller draws from what an image looks like, in rounds and in the final estimate."""
_FOLLOWS = (0.3, 0.5)
"""Correlation of noise with confusion from which the confused labeller comes in, and from which he is there wholly."""
_RATHER_CLEAR = 0.8
_STEADY = (0.78, 0.88)
"""Noise among the clearest images (above .98) over that among rather clear ones (above .8): up to the first the
confused labeller is there wholly, from the second on not at all."""
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
    steadiness: float
    """Wrong labels among the clearest images over those among rather clear ones, as shares; 1: not looked at."""
    confused: float
    """Weight of the confused labeller, 0 .. 0.15."""
    clear: float
    """Share of images that the transition matrix was learned from."""


class NoiseEstimate:
    """Who is wrong, and how labels go wrong, from out-of-fold predictions alone.

    The right label y of an image x with given label g is latent: P(y | x, g) is proportional to p(x | y) pi(y)
    T(g | y), with p(x | y) from the candidates under a temperature, pi the prior of the right classes, T the
    transition matrix. EM (Dempster, Laird & Rubin 1977; Dawid & Skene 1979 with one annotator and the model as
    evidence) fits T, pi and, by the likelihood of the given labels, the temperature. Rates and destinations are
    smoothed towards those of all classes.

    People err where images look alike, which T alone cannot say. Where the estimated noise follows the model's
    confusions (correlation over pairs of classes), T(g | y) becomes T(g | y) (1 - c (1 - p_y)) + c p_g for g != y:
    with weight c a confused labeller draws the label from what the image looks like.
    """

    def __init__(self, candidates: Candidates, num_classes: int, known: np.ndarray) -> None:
        """`known` (n,) int64: the right class where a person said it, -1 elsewhere, -2 for rows of no class."""
        self._first = _Fit(candidates, num_classes, known)
        self._first.run_first()
        self._first.find_human()

    def for_rounds(self) -> LabelNoise:
        """What weighs the rows of the next round."""
        fit = copy(self._first)
        if fit.human:
            fit.start()
            fit.confused = fit.human * _CONFUSED[0]
            fit.run_first()
        return fit.result()

    def final(self) -> LabelNoise:
        """The honest probabilities, which are not for rounds to come.

        A model errs on hard images, and EM takes such errors for wrong labels. On clear images it hardly errs, so T is
        learned from those alone, and the confused labeller must show in them too: noise grows as images get less
        clear. In the rounds that would do harm: as long as the model has learned much noise itself, it is clear about
        the wrong images, and severe weights are what breaks the noise.
        """
        fit = copy(self._first)
        fit.ask_clear_images()
        return fit.result()


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
    """Probabilities mended by what people found: logit p' = a ln p - b ln(1 - p) + c.

    `issue_prob` (n,) float32; `reviewed` (n,) bool: people judged the label; `wrong` (n,) bool: and found it wrong.
    Beta calibration (Kull, Silva Filho & Flach 2017), whose two ends move apart from each other, with normal priors of
    mean 1 and deviation 0.25 on a and b, 0 and 0.5 on c: a handful of verdicts moves little, hundreds decide. Which
    images were looked at may hang on p. A higher probability stays a higher one. Returns (n,) float32.
    """
    seen = reviewed & ~np.isnan(issue_prob)
    if not seen.any():
        return issue_prob
    p = np.clip(issue_prob.astype(np.float64), 1e-6, 1 - 1e-6)
    terms = np.stack([np.log(p), -np.log1p(-p), np.ones(len(p))])
    sign = np.where(wrong[seen], 1, -1)
    means, deviations = np.array([1.0, 1.0, 0.0]), np.array([0.25, 0.25, 0.5])

    def loss(weights: np.ndarray) -> float:
        unlikely = -log_expit(sign * (weights @ terms[:, seen])).sum()
        return float(unlikely + 0.5 * (((weights - means) / deviations) ** 2).sum())

    bounds = [(0.05, None), (0.05, None), (None, None)]
    weights = minimize(loss, means, method="L-BFGS-B", bounds=bounds).x
    mended: np.ndarray = expit(weights @ terms).astype(np.float32)
    return mended


class _Fit:
    """State of one EM run. Arrays of candidates are (1 + m, n): what is summed then lies far apart, which is quick."""

    def __init__(self, candidates: Candidates, num_classes: int, known: np.ndarray) -> None:
        self.num_classes, self.confused = num_classes, 0.0
        self.follows, self.steadiness, self.human = 0.0, 1.0, 0.0
        classes = np.ascontiguousarray(candidates.classes.T)
        self.there = classes >= 0
        self.classes = np.where(self.there, classes, 0)
        self.given = classes[0]
        self.log_probs = np.log(np.maximum(candidates.probs.T, _TINY)).astype(np.float32, order="C")
        self.log_probs[~self.there] = -np.inf
        self.free = known == -1
        self.pairs = self.classes * num_classes + self.given  # (right, given), flat
        self.free_classes = self.classes[:, self.free].ravel()
        self.from_clear = False
        self.known = known
        self._learn_from(np.ones(len(known), bool))
        self.settled = self.pairs_settled.sum(1)
        self.num_rows = max(1, int((known >= -1).sum()))
        self.start()

    def find_human(self) -> None:
        """How much the noise looks like people's, who confuse what the model confuses."""
        self.follows = self._follow_confusion()
        self.human = _ramp(self.follows, *_FOLLOWS)

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
        """Steps of EM, the temperature chosen anew before every few."""
        for _ in range(num_steps):
            self.choose_temperature()
            for _ in range(_INNER_STEPS):
                self.step()

    def ask_clear_images(self) -> None:
        """Go on with T from clear images, the confused labeller admitted only if noise grows as they get less clear."""
        if self.human:
            self.confused = self.human * _CONFUSED[1]
            self.run(_MORE_STEPS)
            sure, wrong = self._model(slice(None), self.temperature).max(0), 1 - self.posterior()[0]
            clearest, clear = (wrong[self.free & (sure > level)] for level in (_CLEAR[0], _RATHER_CLEAR))
            if len(clearest):
                self.steadiness = float(clearest.mean() / max(clear.mean(), _TINY))
            self.human *= 1 - _ramp(self.steadiness, *_STEADY)
            self.confused = self.human * _CONFUSED[1]
        sure = self._model(slice(None), self.temperature).max(0)
        clear = sure > _CLEAR[0] + self.human * (_CLEAR[1] - _CLEAR[0])
        self.from_clear = bool((clear & self.free).sum() >= max(1, _MIN_CLEAR * self.free.sum()))
        if self.from_clear:
            self._learn_from(clear)
        self.run(_MORE_STEPS)

    def _learn_from(self, rows: np.ndarray) -> None:
        """Let T count `rows` (n,) bool alone; of people's verdicts too, who mostly look at unclear images."""
        self.rows = rows & self.free
        self.rows_pairs = self.pairs[:, self.rows].ravel()
        mine = rows & (self.known >= 0)
        num = self.num_classes
        pairs = np.bincount(self.known[mine] * num + self.given[mine], minlength=num * num)
        self.pairs_settled: np.ndarray = pairs.astype(np.float64).reshape(num, num)

    def _counts_of_given(self) -> np.ndarray:
        counts: np.ndarray = np.bincount(self.given[self.known >= -1], minlength=self.num_classes)
        return counts

    def _model(self, rows: slice, temperature: float) -> np.ndarray:
        """Probabilities of the candidates (1 + m, r) under the prior, before the given label is looked at."""
        probs: np.ndarray = self.log_probs[:, rows] * np.float32(1 / temperature)
        probs += np.log(self.prior + 1e-9).astype(np.float32)[self.classes[:, rows]]
        probs -= probs.max(0)
        np.exp(probs, out=probs)
        probs /= probs.sum(0)
        return probs

    def _joint(self, rows: slice, model: np.ndarray) -> np.ndarray:
        """P(candidate is right and the given label is what it is), (1 + m, r)."""
        likely: np.ndarray = self.transition.ravel()[self.pairs[:, rows]]
        if self.confused:
            likely *= 1 - self.confused * (1 - model)
            likely[1:] += self.confused * model[:1]
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
        """P(candidate is right | image, given label), (1 + m, n) float32."""
        joint: np.ndarray = self._joint(slice(None), self._model(slice(None), self.temperature))
        joint /= joint.sum(0) + _TINY
        return joint

    def step(self) -> None:
        """One step of EM: posterior, then transition matrix and prior."""
        num, posterior = self.num_classes, self.posterior()
        counts = np.bincount(self.rows_pairs, weights=_of(posterior, self.rows).ravel(), minlength=num * num)
        wrong = counts.reshape(num, num) + self.pairs_settled
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
        everyone += self.settled
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
            confused=self.confused,
            clear=float(self.rows.mean()),
        )

    def _follow_confusion(self) -> float:
        """Correlation of wrong labels with the confusions of images whose label seems right, over pairs of classes."""
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
    """The columns `rows` (n,) bool of values (., n); no copy where they are all."""
    return values if rows.all() else values[:, rows]


def _find_spread(wrong: np.ndarray) -> float:
    """By how many rows to draw where wrong labels lie towards an even spread: the likeliest concentration.

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
    """0 up to `low`, 1 from `high` on, straight between."""
    return float(np.clip((value - low) / (high - low), 0, 1))
