"""The noise classifier: a kernel on what images show and on evidence that needs no seeds, and a probability.

Method, formulae and sources: docs/methods.md, "Noise images".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cleaner.scoring.kernel_logistic import fit_kernel_logistic
from cleaner.scoring.noise_evidence import EVIDENCE, estimate_share, strongest_default, to_probability
from cleaner.scoring.noise_posterior import compute_answer_posterior, compute_noise_posterior
from cleaner.scoring.unit_rows import unit_rows

Features = Callable[[np.ndarray], np.ndarray]
"""Row numbers (n,) int64 to standardised features (n, D) float32."""

_STRENGTH = 300.0
"""Inverse strength of the penalty; a tenth or three times as much changes little (docs/experiments.md)."""
_EVIDENCE_WEIGHTS = (0.0, 0.05, 0.15, 0.5, 1.5)
"""What the evidence may count beside what images show: the seeds choose among them."""
_CONTENT_NAMES = ("content", "style")
FEWEST_OF_A_KIND = 4
"""With fewer images of a kind there is nothing to learn: the default weights decide."""
_CHUNK = 4096


@dataclass(frozen=True)
class NoiseSeeds:
    """Seeds over N rows: each keeps its kind, whatever the model says."""

    is_seed: np.ndarray
    """(N,) bool."""
    is_noise: np.ndarray
    """(N,) bool; false where a row is no seed."""


@dataclass(frozen=True)
class Sight:
    """What the classifier sees of N rows."""

    contents: Sequence[Features]
    """Kinds of features of the images themselves: what they show, and style."""
    ranks: np.ndarray
    """(N, E) float32: evidence as normal scores."""
    default_log_odds: np.ndarray
    """(N,) float: log odds of noise at equal shares by the default weights of the evidence."""
    groups: np.ndarray
    """(N,) int64: rows of one duplicate group share a number, and are held out together."""
    countable: np.ndarray
    """(N,) bool: rows over which the share of noise is estimated and in which noise may be found."""


def say_nothing(rows: np.ndarray) -> np.ndarray:
    """No reasons, (n,) object of empty texts."""
    return np.full(len(rows), "", object)


@dataclass(frozen=True)
class NoiseEstimate:
    """What one model says of N rows."""

    noise_prob: np.ndarray
    """(N,) float32 in 0 .. 1; held out for rows that the model learned from."""
    share: float
    """Share of noise over the countable rows, 0 .. 1."""
    seed_loss: float = np.inf
    """Log loss over the seeds with both kinds counting the same, held out; infinite without both kinds."""
    explain: Callable[[np.ndarray], np.ndarray] = say_nothing
    """Row numbers (n,) to what speaks most for noise in each (n,) object: content, style, or a name of EVIDENCE."""
    taught: Taught | None = None
    """The model behind it; None for the default weights."""
    log_odds: np.ndarray | None = None
    """(N,) float: its scores, of which `noise_prob` is a rising curve."""


class NoiseModel:
    """Estimates noise from what rows are known to be."""

    def __init__(self, sight: Sight, seeds: NoiseSeeds) -> None:
        self._sight, self._seeds = sight, seeds

    def by_default(self) -> NoiseEstimate:
        """The estimate by the default weights of the evidence; only the share of noise is learned."""
        log_odds, ranks = self._sight.default_log_odds, self._sight.ranks
        share = estimate_share(log_odds[self._sight.countable & ~self._seeds.is_seed])
        return NoiseEstimate(
            to_probability(log_odds, share),
            share,
            explain=lambda rows: strongest_default(ranks[rows]),
            log_odds=log_odds,
        )

    def learn(self, positive: np.ndarray, negative: np.ndarray) -> NoiseEstimate:
        """The estimate by a model that learns rows (N,) bool as noise and as normal, at least one of each."""
        sight, seeds = self._sight, self._seeds
        rows = np.flatnonzero(positive | negative)
        taught = self._teach(rows, positive[rows])
        noise_seeds, normal_seeds = seeds.is_noise, seeds.is_seed & ~seeds.is_noise
        # finds are not held as noise: their spread would be that of what is easy to find
        likely = None if noise_seeds.any() else positive
        posterior = compute_noise_posterior(taught.scores, noise_seeds, normal_seeds, sight.countable, likely)
        loss = _balanced_loss(taught.scores[seeds.is_seed], seeds.is_noise[seeds.is_seed])
        explain = partial(self._explain, taught)
        return NoiseEstimate(posterior.probs, posterior.prior, loss, explain, taught, taught.scores)

    def by_answers(self) -> NoiseEstimate:
        """The estimate from seeds that are answers to looks, at least one of each kind; its share is of all rows."""
        seeds, countable = self._seeds, self._sight.countable
        rows = np.flatnonzero(seeds.is_seed)
        taught = self._teach(rows, seeds.is_noise[rows])
        probs = compute_answer_posterior(taught.scores, seeds.is_noise, seeds.is_seed & ~seeds.is_noise)
        likely = np.where(seeds.is_seed, seeds.is_noise, probs)[countable]
        return NoiseEstimate(probs, float(likely.mean()), explain=lambda rows: self._explain(taught, rows))

    def _teach(self, rows: np.ndarray, y: np.ndarray) -> Taught:
        """Models that learned `rows` (n,) with kinds `y` (n,), one for each weight of the evidence, and their mean."""
        units, evident = self._unit_contents(rows), self._evidence_kernel(self._sight.ranks[rows], rows)
        contents = _likeness(units, units)
        like, groups = np.mean(contents, 0), self._sight.groups[rows]
        models = [fit_kernel_logistic(like + w * evident, y, _STRENGTH, groups) for w in _EVIDENCE_WEIGHTS]
        losses = np.array([_balanced_loss(m.held_out, y) for m in models])
        share = np.exp(-(losses - losses.min()) * y.sum())
        share /= share.sum()
        weights = np.stack([m.weights for m in models])
        of_content, of_evidence = share @ weights / len(contents), (share * _EVIDENCE_WEIGHTS) @ weights
        intercept = float(share @ [m.intercept for m in models])
        parts = np.empty((len(self._sight.groups), len(contents) + 1), np.float32)
        scores = np.empty(len(parts))
        for start in range(0, len(parts), _CHUNK):
            part = slice(start, min(start + _CHUNK, len(parts)))
            like_known = _likeness(self._unit_contents(np.arange(part.start, part.stop)), units)
            evident = self._evidence_kernel(self._sight.ranks[part], rows)
            each = np.column_stack([*(k @ of_content for k in like_known), evident @ of_evidence])
            parts[part], scores[part] = each, each.sum(1) + intercept
        scores[rows] = share @ np.stack([m.held_out for m in models])
        for column in parts.T:
            column -= np.median(column[self._sight.countable])
        return Taught(rows, of_content, of_evidence, intercept, parts, scores)

    def _unit_contents(self, rows: np.ndarray) -> list[np.ndarray]:
        """Unit vectors (n, D) of what `rows` (n,) show; one array for each kind of content."""
        return [unit_rows(kind(rows)) for kind in self._sight.contents]

    def _evidence_kernel(self, ranks: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Likeness (n, m) float32, 0 .. 1, of evidence `ranks` (n, E) to that of rows `others` (m,)."""
        known = self._sight.ranks[others]
        squared = (ranks**2).sum(1)[:, None] + (known**2).sum(1) - 2 * ranks @ known.T
        kernel: np.ndarray = np.exp(-squared / (2 * ranks.shape[1]))
        return kernel

    def _explain(self, taught: Taught, rows: np.ndarray) -> np.ndarray:
        names: np.ndarray = np.array([*_CONTENT_NAMES[: len(self._sight.contents)], ""], object)[
            taught.parts[rows].argmax(1)
        ]
        by_evidence = np.flatnonzero(names == "")
        ranks = self._sight.ranks[rows[by_evidence]]
        loss = np.empty(ranks.shape)  # what the evidence would say less if a column were as in the middle image
        full = self._evidence_kernel(ranks, taught.rows) @ taught.of_evidence
        for column in range(ranks.shape[1]):
            without = ranks.copy()
            without[:, column] = 0
            loss[:, column] = full - self._evidence_kernel(without, taught.rows) @ taught.of_evidence
        names[by_evidence] = np.array(EVIDENCE, object)[loss.argmax(1)]
        return names


def _likeness(units: list[np.ndarray], others: list[np.ndarray]) -> list[np.ndarray]:
    """Likeness (n, m) float32, 0 .. 1, of unit vectors (n, D) to others (m, D), for each kind of content."""
    return [np.exp((mine @ known.T - 1) / 2) for mine, known in zip(units, others, strict=True)]


@dataclass(frozen=True)
class Taught:
    """What models learned from n rows, and what they say of N."""

    rows: np.ndarray
    of_content: np.ndarray
    """(n,) float64: weights of the kernel of each kind of content."""
    of_evidence: np.ndarray
    """(n,) float64: weights of the evidence's kernel."""
    intercept: float
    parts: np.ndarray
    """(N, K + 1) float32: what each kind of content and the evidence add to the score, above the middle image."""
    scores: np.ndarray
    """(N,) log odds at equal shares; held out for `rows`."""


def _balanced_loss(log_odds: np.ndarray, is_noise: np.ndarray) -> float:
    """Log loss with both kinds counting the same; infinite without one of them."""
    if not is_noise.any() or is_noise.all():
        return np.inf
    loss = np.logaddexp(0, np.where(is_noise, -log_odds, log_odds))
    return float((loss[is_noise].mean() + loss[~is_noise].mean()) / 2)
