"""The rounds of one label pass: cross-training, then pulling back, round by round. recipe.md section 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold
from cleaner.stages.labels.fits import LabelSet, StoredFits

_QUIET_ROUNDS = 2
"""A pass ends after this many consecutive rounds without a new positive."""


@dataclass(frozen=True)
class Round:
    """The result of one round."""

    number: int
    recipe: str
    rows: np.ndarray
    """(m,) int64: the rows that were predicted."""
    predictions: OutOfFold
    """Of those m rows."""
    positive: np.ndarray
    """(m,) bool: positive after this round."""


@dataclass
class Pass:
    """One pass over a set of rows."""

    top_k: int
    rows: np.ndarray
    """(m,) int64."""
    positive: np.ndarray
    """(n,) bool, over all rows."""
    unscored: np.ndarray
    """(n,) bool: rows whose class had no row to learn from."""
    pulled_back_round: np.ndarray
    """(n,) int16."""
    rounds: list[Round] = field(default_factory=list)
    models: list[Arrays] = field(default_factory=list)
    """The fold models' arrays."""
    stable: bool = False

    @property
    def kind(self) -> str:
        """The kind of label issue that it finds: coarse or fine."""
        return issue_kind(self.top_k)

    @property
    def negative(self) -> np.ndarray:
        """(m,) bool: which of its rows stayed negative."""
        negative: np.ndarray = ~self.positive[self.rows] & ~self.unscored[self.rows]
        return negative


def issue_kind(top_k: int) -> str:
    """The kind of label issue that a pass finds: coarse or, for the top prediction alone, fine."""
    return "coarse" if top_k > 1 else "fine"


def plan_passes(top_ks: Sequence[int], num_classes: int) -> tuple[list[int], list[int]]:
    """Which values of top_k to run and which to skip: hardly a label fails to be among half of the classes or more."""
    skipped = [k for k in top_ks if k > 1 and 2 * k >= num_classes]
    return [k for k in top_ks if k not in skipped], skipped


def run_pass(
    fits: StoredFits, rows: np.ndarray, *, top_k: int, max_rounds: int, predictions: OutOfFold | None = None
) -> Pass:
    """Sort `rows` (m,) by their given labels: those in the top k are positive; rounds retry the rest, and pull back.

    `predictions` for all rows, if a user brought them, replace the cross-training.
    """
    this = _round_zero(fits, rows, top_k, predictions)
    _apply_decisions(fits.labels, this)
    quiet = 0
    for number in range(1, max_rounds + 1):
        negatives = rows[this.negative & (fits.labels.decided[rows] == UNDECIDED)]
        if not len(negatives):
            this.stable = True
            break
        num_new = _pull_back(fits, this, negatives, number)
        quiet = 0 if num_new else quiet + 1
        if quiet == _QUIET_ROUNDS:
            this.stable = True
            break
    return this


def _round_zero(fits: StoredFits, rows: np.ndarray, top_k: int, brought: OutOfFold | None) -> Pass:
    title = f"{issue_kind(top_k)} (top {top_k})"
    models: list[Arrays] = []
    if brought is not None:
        predictions, recipe_name = brought.take(rows), "predictions"
    else:
        predictions, models = fits.cross_train_as_given(rows, title)
        recipe_name = fits.recipe(0).name
    num = len(fits.labels.targets)
    positive, unscored = np.zeros(num, bool), np.zeros(num, bool)
    unscored[rows] = predictions.given_rank < 0
    positive[rows] = (predictions.given_rank >= 0) & (predictions.given_rank < top_k)
    back = np.full(num, -1, np.int16)
    back[positive] = 0
    this = Pass(top_k, rows, positive, unscored, back, models=models)
    this.rounds.append(Round(0, recipe_name, rows, predictions, positive[rows].copy()))
    num_positive, num_negative = int(positive.sum()), int(this.negative.sum())
    fits.progress.say(f"  {title}  cross-training  {num_positive:,} positive  {num_negative:,} negative")
    return this


def _apply_decisions(labels: LabelSet, this: Pass) -> None:
    """People's decisions enter after round 0: fixed positives under their label, fixed negatives."""
    fixed = this.rows[labels.decided[this.rows] != UNDECIDED]
    this.positive[fixed] = labels.decided[fixed] >= 0
    this.unscored[fixed] = False


def _pull_back(fits: StoredFits, this: Pass, negatives: np.ndarray, number: int) -> int:
    """Predict the negatives by a model of the positives; returns how many became positive."""
    learned = _rows_to_learn(fits.labels, this)
    if not len(learned):  # each positive has a duplicate among the negatives
        return 0
    predictions = fits.predict(learned, negatives, number, f"{this.kind} round {number}")
    new = (predictions.given_rank >= 0) & (predictions.given_rank < this.top_k)
    this.positive[negatives[new]] = True
    this.pulled_back_round[negatives[new]] = number
    recipe = fits.recipe(number).name
    this.rounds.append(Round(number, recipe, negatives, predictions, new))
    fits.progress.say(f"    round {number}  {recipe}  pulled back {int(new.sum()):,}")
    return int(new.sum())


def _rows_to_learn(labels: LabelSet, this: Pass) -> np.ndarray:
    """Positives without a duplicate among the negatives, which its own copy would otherwise predict."""
    negative_groups = np.unique(labels.groups[this.rows[this.negative]])
    free = ~np.isin(labels.groups, negative_groups)
    return np.flatnonzero(this.positive & labels.learns & free)
