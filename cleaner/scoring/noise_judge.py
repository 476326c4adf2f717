"""What a finished run of noise rounds says of images that were not in it: its models as arrays, no fit anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import expit, logit, ndtri

from cleaner.scoring.noise_evidence import DEFAULT_OFFSET, DEFAULT_WEIGHTS
from cleaner.scoring.noise_model import NoiseEstimate, Sight
from cleaner.scoring.noise_rounds import NoiseResult, settle
from cleaner.scoring.unit_rows import unit_rows

_TINY = 1e-9
_CURVE_TOP, _CURVE_REST = 1024, 1024
_QUANTILES = 4096


@dataclass(frozen=True)
class NoiseScorer:
    """One model: score = likeness to the n rows learned from @ weights + ranks @ `linear` + intercept."""

    of_content: np.ndarray
    """(n,) float64: weight of each row for every kind of content."""
    of_evidence: np.ndarray
    """(n,) float64: weight of each row for the evidence."""
    linear: np.ndarray
    """(E,) float64: weights of the ranks themselves; 0 where a kernel learned."""
    intercept: float
    scores: np.ndarray
    """(m,) float64, rising: scores of the run's images, the highest ones all, fewer of the rest."""
    log_odds: np.ndarray
    """(m,) float64: what the run made of them."""

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """All fields as named arrays."""
        return {f"{prefix}{f.name}": np.atleast_1d(np.asarray(getattr(self, f.name))) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], prefix: str) -> NoiseScorer:
        """The inverse of `arrays`."""
        values: dict[str, Any] = {f.name: arrays[f"{prefix}{f.name}"] for f in fields(cls)}
        return cls(**values | {"intercept": float(values["intercept"][0])})


def curve_of(scores: np.ndarray, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most 2,048 points (score, log odds) of the rising curve that `probs` (N,) are of `scores` (N,)."""
    order = np.argsort(scores, kind="stable")
    rest, top = order[:-_CURVE_TOP], order[-_CURVE_TOP:]
    spaced = rest[np.unique(np.linspace(0, len(rest) - 1, min(len(rest), _CURVE_REST)).astype(np.int64))]
    taken = np.concatenate([spaced, top])
    log_odds = logit(np.clip(probs[taken].astype(np.float64), _TINY, 1 - _TINY))
    return scores[taken].astype(np.float64), np.maximum.accumulate(log_odds)


def quantiles_of(evidence: Iterable[np.ndarray]) -> np.ndarray:
    """(Q, E) float32: the known values of each column of `evidence` (N,) in rising order, at most 4,096 at even
    distances; NaN below them.
    """
    columns = [_spaced(np.sort(column[np.isfinite(column)])) for column in evidence]
    table = np.full((max(map(len, columns), default=0), len(columns)), np.nan, np.float32)
    for number, column in enumerate(columns):
        table[: len(column), number] = column
    return table


def _spaced(values: np.ndarray) -> np.ndarray:
    return values[np.linspace(0, len(values) - 1, min(len(values), _QUANTILES)).astype(np.int64)]


def rank_among(evidence: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Evidence (q, E) as normal scores (q, E) float32 among the values of `quantiles` (Q, E); unknown: 0.

    As `rank_evidence` ranks a value among equal ones, in the middle of its ties.
    """
    ranks = np.zeros(evidence.shape, np.float32)
    for column in range(evidence.shape[1]):
        known = quantiles[np.isfinite(quantiles[:, column]), column]
        values = evidence[:, column].astype(np.float32)
        is_known = np.isfinite(values)
        if not len(known) or not is_known.any():
            continue
        ends = [np.searchsorted(known, values[is_known], side) for side in ("left", "right")]
        share = (ends[0] + ends[1]) / (2 * len(known))
        ranks[is_known, column] = ndtri(np.clip(share, 0.5 / len(known), 1 - 0.5 / len(known)))
    return ranks


@dataclass(frozen=True)
class NoiseJudge:
    """The models of a run's first and last round, which together decide, and the n rows that both learned from."""

    contents: Sequence[np.ndarray]
    """(n, D) float16 for each kind of content: unit vectors."""
    ranks: np.ndarray
    """(n, E) float32."""
    first: NoiseScorer
    last: NoiseScorer
    has_seeds: bool
    threshold: float

    def judge(self, contents: Sequence[np.ndarray], ranks: np.ndarray) -> np.ndarray:
        """Probability of noise (q,) float32 of images with these features (q, D), one array for each kind of content,
        and `ranks` (q, E) of the evidence.
        """
        pairs = zip(contents, self.contents, strict=True)
        like = [np.exp((unit_rows(new) @ old.astype(np.float32).T - 1) / 2) for new, old in pairs]
        squared = (ranks**2).sum(1)[:, None] + (self.ranks**2).sum(1) - 2 * ranks @ self.ranks.T
        evident = np.exp(-squared / (2 * ranks.shape[1]))
        probs = []
        for model in (self.first, self.last):
            scores = sum((k @ model.of_content for k in like), np.zeros(len(ranks)))
            scores = scores + evident @ model.of_evidence + ranks @ model.linear + model.intercept
            probs.append(expit(np.interp(scores, model.scores, model.log_odds)).astype(np.float32))
        return settle(probs[0], probs[1], self.has_seeds, self.threshold)

    @classmethod
    def of(cls, result: NoiseResult, sight: Sight, threshold: float) -> NoiseJudge:
        """The judge that a run of rounds leaves, over what it saw."""
        first, last = result.estimates
        taught = [e.taught.rows for e in (first, last) if e.taught is not None]
        rows = np.unique(np.concatenate([np.empty(0, np.int64), *taught]))
        contents = [unit_rows(kind(rows)).astype(np.float16) for kind in sight.contents]
        return cls(contents, sight.ranks[rows], _scorer(first, rows), _scorer(last, rows), result.has_seeds, threshold)


def _scorer(estimate: NoiseEstimate, rows: np.ndarray) -> NoiseScorer:
    """The model behind an estimate, with weights over `rows` (n,), all that it learned from among them."""
    assert estimate.log_odds is not None, "an estimate without scores"
    curve = curve_of(estimate.log_odds, estimate.noise_prob)
    content, evidence, taught = np.zeros(len(rows)), np.zeros(len(rows)), estimate.taught
    if taught is None:
        return NoiseScorer(content, evidence, np.array(DEFAULT_WEIGHTS), DEFAULT_OFFSET, *curve)
    mine = np.searchsorted(rows, taught.rows)
    content[mine], evidence[mine] = taught.of_content, taught.of_evidence
    return NoiseScorer(content, evidence, np.zeros(len(DEFAULT_WEIGHTS)), taught.intercept, *curve)
