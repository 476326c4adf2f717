"""Rounds of the noise stage: a binary classifier that learns from seeds and from its own finds, and does not drift.

Method, formulae and sources: docs/methods.md, "Noise images".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cleaner.scoring.noise_posterior import compute_noise_posterior

Features = Callable[[np.ndarray], np.ndarray]
"""Row numbers (n,) int64 to standardised features (n, D) float32."""

_STRENGTH = 10.0
"""Inverse strength of the L2 penalty: next to a hard margin. Weaker than the seeds' own log loss would choose, but what
lies between graphics and normal photographs is ranked better (docs/experiments.md)."""
_TOLERANCE = 1e-5  # at 1e-3 the margin is not reached and junk photographs rank far lower
_FOLDS = 10
_NORMALS_PER_FIND = 15
"""For each find so many images that the last round called normal, so that finds do not outgrow the normal seeds."""
_FIT_WEIGHTS = (0.68, 0.9)
"""Spreads of the score for each standard deviation by which an image fits its own class worse, and its best class;
chosen, as all numbers here, on layout seeds 3 to 5 of the benchmark."""
_ANCHOR = 0.1
_SURELY_NORMAL = 0.1
_MAX_TRAINING_ROWS = 10_000
_SCORE_CHUNK = 4096
_LOOK_WEIGHTS = (1.0, 1.0, 1.0, 0.5)
"""Of low information, few colours, flat pixels, long shape; the shape is no fault of its own."""
_OWN_CLASS_WEIGHT = 0.5  # a wrong label fits its class as badly as noise does; the best class is what counts
_ONE_SIGMA_BELOW = 0.1587
_FAR_SPREADS = 3.0
"""Three sigma. Tried on sample_data and layout seed 3 of tiny50 (junk in native sizes; in the pack's own): 2.7 found 2
and 5 points more of the junk on the last two, at a precision of .86 on the last (3.0: 1.00, recall .64; 3.3: .53)."""
_FEWEST_COLD_SEEDS, _MOST_COLD_SEEDS, _MOST_COLD_SHARE = 10, 1000, 0.05
_NORMALS_PER_COLD_SEED = 10


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
    features: Sequence[Features],
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

    `features`: what classifiers learn from, one classifier for each kind; the score is the mean of theirs.
    `evidence` (N, 2) float32: standardised fit to the own and to the best class, NaN where a row has none;
    `countable` (N,) bool: rows over which the noise share is estimated and in which noise may be found. A found image
    takes part with an out-of-fold score, and leaves when that falls to the threshold or below. The first round, which
    learns from the seeds alone, is the anchor: an image that it calls normal is never taken, only doubtful.
    """
    num_rows = len(countable)
    fold = rng.permutation(num_rows) % _FOLDS
    lottery = rng.permutation(num_rows)
    found = np.zeros(num_rows, bool)
    probs: np.ndarray | None = None
    anchor: np.ndarray | None = None
    seen: list[np.ndarray] = []
    result = NoiseResult()
    fit = np.nan_to_num(evidence) @ np.array(_FIT_WEIGHTS)
    for number in range(1, max_rounds + 1):
        positive, negative = _training_set(seeds, found, probs, countable, lottery)
        each = [_in_spreads(_out_of_fold_scores(kind, positive, negative, fold), countable) for kind in features]
        scores = _in_spreads(np.mean(each, axis=0), countable) - fit
        # finds are not held as noise: their spread would be that of what is easy to find
        held_normal = seeds.is_seed & seeds.is_human & ~seeds.is_noise
        posterior = compute_noise_posterior(scores, seeds.is_seed & seeds.is_noise, held_normal, countable)
        probs = posterior.probs
        anchor = probs if anchor is None else anchor
        # what the seeds alone speak against is at most doubtful, or rounds that feed on their own finds drift
        probs = np.where(anchor < _ANCHOR, np.minimum(probs, np.float32(threshold)), probs)
        now = (probs > threshold) & countable & ~(seeds.is_seed & seeds.is_human)
        cycle = next((i for i, before in enumerate(seen[:-1]) if np.array_equal(now, before)), None)
        if cycle is not None:  # round and round: only what each of its rounds found is sure
            sure = np.logical_and.reduce(seen[cycle:])
            probs = np.where(now & ~sure, np.minimum(probs, np.float32(threshold)), probs)
            now = sure
        this = NoiseRound(number, probs, now, int((now & ~found).sum()), int((found & ~now).sum()), posterior.prior)
        result.rounds.append(this)
        on_round(this)
        if cycle is not None:
            return NoiseResult(result.rounds, "repeats")
        if np.array_equal(now, found):
            return NoiseResult(result.rounds, "stable")
        seen.append(now)
        found = now
    return NoiseResult(result.rounds, "max_rounds")


def pick_cold_seeds(
    looks: np.ndarray,
    odd_mode: np.ndarray,
    evidence: np.ndarray,
    candidates: np.ndarray,
    rng: np.random.Generator,
) -> NoiseSeeds:
    """Seeds from the recipe's evidence alone, for want of a person's.

    `looks` (N, 4) float, higher is more like noise, NaN where unknown: low information, few colours, share of flat
    pixels, long shape; `odd_mode` (N,) bool: not three-channel; `evidence` (N, 2 or more): standardised scores of the
    given and of the best class; `candidates` (N,) bool. Each kind of evidence counts by its rank, so that none
    outweighs the rest. Images far above the bulk of the summed evidence become noise seeds: many where there is much
    noise, hardly any in a clean set. Normal ones are drawn from the lower half, of those that fit some class.
    """
    rows = np.flatnonzero(candidates)
    fit = np.asarray(evidence, dtype=np.float64)[rows]
    score = odd_mode[rows] / 2 - _normal_ranks(fit[:, 0]) * _OWN_CLASS_WEIGHT - _normal_ranks(fit[:, 1])
    for column, weight in zip(looks[rows].T, _LOOK_WEIGHTS, strict=True):
        score += weight * _normal_ranks(column)
    order = np.argsort(-score, kind="stable")
    middle = float(np.median(score))
    spread = max(middle - float(np.quantile(score, _ONE_SIGMA_BELOW)), 1e-9)  # of the clean side: noise is above
    far = int((score > middle + _FAR_SPREADS * spread).sum())
    num_noise = min(max(far, _FEWEST_COLD_SEEDS), max(int(_MOST_COLD_SHARE * len(rows)), _FEWEST_COLD_SEEDS))
    num_noise = min(num_noise, _MOST_COLD_SEEDS, len(rows) // 4)
    lower = order[len(order) // 2 :]
    fitting = lower[fit[lower, 1] >= np.median(fit[:, 1])]
    lower = fitting if len(fitting) >= 2 * num_noise else lower
    normal = rng.choice(lower, min(len(lower), _NORMALS_PER_COLD_SEED * num_noise), replace=False)
    is_seed, is_noise = np.zeros(len(odd_mode), bool), np.zeros(len(odd_mode), bool)
    is_noise[rows[order[:num_noise]]] = True
    is_seed[rows[order[:num_noise]]] = True
    is_seed[rows[normal]] = True
    return NoiseSeeds(is_seed, is_noise, np.zeros(len(odd_mode), bool))


def _normal_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of `values` (n,) as quantiles of the normal distribution (van der Waerden); NaN ranks in the middle."""
    known = np.isfinite(values)
    result = np.zeros(len(values))
    if known.any():
        result[known] = ndtri((rankdata(values[known]) - 0.5) / known.sum())
    return result


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


def _in_spreads(scores: np.ndarray, countable: np.ndarray) -> np.ndarray:
    """`scores` (N,) from the middle of the countable ones, in robust standard deviations of theirs."""
    middle = float(np.median(scores[countable]))
    spread = 1.4826 * float(np.median(np.abs(scores[countable] - middle)))
    result: np.ndarray = (scores - middle) / max(spread, 1e-9)
    return result


def _out_of_fold_scores(features: Features, positive: np.ndarray, negative: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Logits (N,) under equal priors; rows that train are scored by a model that did not learn from them."""
    rows = np.flatnonzero(positive | negative)
    x, y = features(rows), positive[rows]
    model = _fit(x, y)
    scores = np.empty(len(positive))
    for start in range(0, len(scores), _SCORE_CHUNK):
        part = np.arange(start, min(start + _SCORE_CHUNK, len(scores)))
        scores[part] = model.decision_function(features(part))
    scores[rows] = _fill_out_of_fold(scores[rows], x, y, fold[rows])
    return scores


def _fill_out_of_fold(scores: np.ndarray, x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """`scores` (n,) with those of each fold replaced, where the other folds hold both kinds."""
    filled = scores.copy()
    for k in np.unique(fold):
        if len(np.unique(y[fold != k])) == 2:
            filled[fold == k] = _fit(x[fold != k], y[fold != k]).decision_function(x[fold == k])
    return filled


def _fit(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
    head = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=2000, tol=_TOLERANCE)
    with threadpool_limits(1):  # a second thread makes it up to nine times as slow, and hardly faster on 50,000 rows
        return head.fit(x, y)
