"""Rounds of the noise stage: a binary classifier that learns from seeds and from its own finds, and does not drift.

Method, formulae and sources: docs/methods.md, "Noise images".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

Features = Callable[[np.ndarray], np.ndarray]
"""Row numbers (n,) int64 to standardised features (n, D) float32."""

_REGULARISATION = 0.01
"""Inverse strength of the L2 penalty on standardised features; chosen on layout seeds 3 and 4 (docs/experiments.md)."""
_FOLDS = 10
_NORMALS_PER_FIND = 10
"""For each find so many images that the last round called normal, so that finds do not outgrow the normal seeds."""
_FEWEST_TO_CALIBRATE = 5
_SURELY_NORMAL = 0.1
_MAX_TRAINING_ROWS = 20_000
_SCORE_CHUNK = 4096
_MIN_PRIOR = 1e-6


@dataclass(frozen=True)
class NoiseSeeds:
    """What the first round learns from, over N rows."""

    is_seed: np.ndarray
    """(N,) bool."""
    is_noise: np.ndarray
    """(N,) bool; meaningful where `is_seed`."""
    is_human: np.ndarray
    """(N,) bool: chosen by a person; such a seed keeps its kind, whatever the model says."""


@dataclass(frozen=True)
class NoiseRound:
    """What one round said."""

    number: int
    noise_prob: np.ndarray
    """(N,) float32."""
    found: np.ndarray
    """(N,) bool: taken as noise by the model in this round."""
    num_new: int
    num_left: int
    prior: float
    """Estimated share of noise images over all rows, 0 .. 1."""


@dataclass(frozen=True)
class NoiseResult:
    """All rounds and why they ended."""

    rounds: list[NoiseRound] = field(default_factory=list)
    stopped: str = ""
    """stable, repeats or max_rounds."""


def run_rounds(
    features: Features,
    evidence: np.ndarray,
    seeds: NoiseSeeds,
    countable: np.ndarray,
    *,
    threshold: float,
    max_rounds: int,
    rng: np.random.Generator,
    on_round: Callable[[NoiseRound], None],
) -> NoiseResult:
    """Train, score all, take what is above `threshold`, and again until the found set repeats.

    `evidence` (N, E) float32: standardised class evidence, NaN where a row has none; `countable` (N,) bool: rows
    over which the noise share is estimated and in which noise may be found. A found image takes part with an
    out-of-fold score, and leaves when that falls to the threshold or below.
    """
    num_rows = len(countable)
    fold = rng.permutation(num_rows) % _FOLDS
    lottery = rng.permutation(num_rows)
    found = np.zeros(num_rows, bool)
    probs: np.ndarray | None = None
    seen: list[np.ndarray] = []
    result = NoiseResult()
    for number in range(1, max_rounds + 1):
        positive, negative = _training_set(seeds, found, probs, countable, lottery)
        scores = _out_of_fold_scores(features, positive, negative, fold)
        z = _calibrated_logits(scores, evidence, seeds, positive, negative)
        prior = estimate_prior(z[countable])
        probs = expit(z + np.log(prior / (1 - prior))).astype(np.float32)
        now = (probs > threshold) & countable & ~(seeds.is_seed & seeds.is_human)
        this = NoiseRound(number, probs, now, int((now & ~found).sum()), int((found & ~now).sum()), prior)
        result.rounds.append(this)
        on_round(this)
        if np.array_equal(now, found):
            return NoiseResult(result.rounds, "stable")
        if any(np.array_equal(now, before) for before in seen):
            return NoiseResult(result.rounds, "repeats")
        seen.append(now)
        found = now
    return NoiseResult(result.rounds, "max_rounds")


def estimate_prior(logits: np.ndarray, *, max_steps: int = 1000, tolerance: float = 1e-7) -> float:
    """Share of noise over all rows by expectation maximisation (Saerens, Latinne & Decaestecker 2002).

    `logits` (N,): log odds under equal priors. Returns a share in (0, 1).
    """
    prior = 0.5
    for _ in range(max_steps):
        step = float(expit(logits + np.log(prior / (1 - prior))).mean())
        step = min(max(step, _MIN_PRIOR), 1 - _MIN_PRIOR)
        if abs(step - prior) < tolerance:
            return step
        prior = step
    return prior


def pick_cold_seeds(
    few_colors: np.ndarray,
    flatness: np.ndarray,
    odd_mode: np.ndarray,
    evidence: np.ndarray,
    candidates: np.ndarray,
    rng: np.random.Generator,
) -> NoiseSeeds:
    """Seeds from the recipe's evidence alone, for want of a person's.

    `few_colors`, `flatness` (N,) float, higher is more like noise; `odd_mode` (N,) bool: not three-channel;
    `evidence` (N, 2): standardised scores of the given and of the best class; `candidates` (N,) bool. The images
    with most evidence become noise seeds (0.5 %, 10 to 200 of them), a random draw of the lower half normal ones.
    """
    score = (
        _standard(few_colors, candidates)
        + _standard(flatness, candidates) / 2
        + odd_mode / 2
        - evidence[:, 1]
        - evidence[:, 0] / 2
    )
    rows = np.flatnonzero(candidates)
    order = rows[np.argsort(-score[rows], kind="stable")]
    num_noise = min(int(np.clip(0.005 * len(rows), 10, 200)), len(rows) // 4)
    lower = order[len(order) // 2 :]
    normal = rng.choice(lower, min(len(lower), 10 * num_noise), replace=False)
    is_seed, is_noise = np.zeros(len(score), bool), np.zeros(len(score), bool)
    is_noise[order[:num_noise]] = True
    is_seed[order[:num_noise]] = True
    is_seed[normal] = True
    return NoiseSeeds(is_seed, is_noise, np.zeros(len(score), bool))


def _standard(values: np.ndarray, over: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (values - values[over].mean()) / max(float(values[over].std()), 1e-9)
    return standard


def _training_set(
    seeds: NoiseSeeds, found: np.ndarray, probs: np.ndarray | None, countable: np.ndarray, lottery: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N,) bool that train as noise and as normal: seeds, finds, and normals drawn as company for the finds."""
    fixed = seeds.is_seed & (seeds.is_human | (probs is None))
    positive = (fixed & seeds.is_noise) | found
    negative = seeds.is_seed & ~seeds.is_noise & ~found
    if probs is not None:
        pool = np.flatnonzero((probs < _SURELY_NORMAL) & countable & ~seeds.is_seed)
        num = min(_NORMALS_PER_FIND * int(found.sum()), _MAX_TRAINING_ROWS)
        negative[pool[np.argsort(lottery[pool], kind="stable")[:num]]] = True
        if not positive.any():  # a cold start that came to nothing: hold on to its guesses
            positive = seeds.is_seed & seeds.is_noise
            negative &= ~positive
    if positive.sum() > _MAX_TRAINING_ROWS:
        rows = np.flatnonzero(positive & ~fixed)
        positive[rows[np.argsort(lottery[rows], kind="stable")[_MAX_TRAINING_ROWS:]]] = False
    return positive, negative


def _out_of_fold_scores(features: Features, positive: np.ndarray, negative: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Logits (N,) under equal priors; rows that train are scored by a model that did not learn from them."""
    rows = np.flatnonzero(positive | negative)
    x, y, f = features(rows), positive[rows], fold[rows]
    model = _fit(x, y)
    scores = np.empty(len(positive))
    for start in range(0, len(scores), _SCORE_CHUNK):
        part = np.arange(start, min(start + _SCORE_CHUNK, len(scores)))
        scores[part] = model.decision_function(features(part))
    for k in np.unique(f):
        if len(np.unique(y[f != k])) == 2:
            scores[rows[f == k]] = _fit(x[f != k], y[f != k]).decision_function(x[f == k])
    return scores


def _calibrated_logits(
    scores: np.ndarray, evidence: np.ndarray, seeds: NoiseSeeds, positive: np.ndarray, negative: np.ndarray
) -> np.ndarray:
    """Log odds (N,) under equal priors from the score and the evidence (Platt 2000, with covariates).

    Fitted on people's seeds alone where there are enough: finds that also calibrate the next round confirm
    themselves, and the threshold then drifts.
    """
    human = seeds.is_seed & seeds.is_human
    rows, y = np.flatnonzero(human), seeds.is_noise[human]
    if min(int(y.sum()), int((~y).sum())) < _FEWEST_TO_CALIBRATE:
        rows = np.flatnonzero(positive | negative)
        y = positive[rows]
    with_evidence = not np.isnan(evidence[rows]).any()
    z = np.column_stack([scores, np.nan_to_num(evidence)]) if with_evidence else scores[:, None]
    logits: np.ndarray = np.asarray(
        LogisticRegression(C=1.0, class_weight="balanced").fit(z[rows], y).decision_function(z)
    )
    return logits


def _fit(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=_REGULARISATION, class_weight="balanced", max_iter=200, tol=1e-3).fit(x, y)
