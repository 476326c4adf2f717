"""The rounds of one label pass: cross-training, then pulling back, round by round. recipe.md section 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cleaner.dataset.store import Arrays
from cleaner.progress import Progress
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold
from cleaner.stages.labels.label_set import LabelSet

if TYPE_CHECKING:
    from cleaner.stages.labels.fits import StoredFits

BROUGHT = "predictions"
"""Stands for the recipe, and for what learned, where people brought predictions and nothing was trained."""
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


def run_in_turn(top_ks: Sequence[int], num_rows: int, run: Callable[[np.ndarray, int], Pass]) -> list[Pass]:
    """A pass `run(rows, top_k)` for each of `top_ks`: the first judges all rows, each other one those that the pass
    before it left positive. Where none is left positive there is nothing more to judge.
    """
    passes: list[Pass] = []
    left = np.arange(num_rows)
    for top_k in top_ks:
        if not len(left):
            break
        passes.append(run(left, top_k))
        left = np.flatnonzero(passes[-1].positive)
    return passes


def run_pass(
    fits: StoredFits, rows: np.ndarray, *, top_k: int, max_rounds: int, predictions: OutOfFold | None = None
) -> Pass:
    """Sort `rows` (m,) by their given labels: those in the top k are positive; rounds retry the rest, and pull back.

    `predictions` for all rows, if an earlier cross-training made them, are those of round 0.
    """
    models: list[Arrays] = []
    if predictions is not None:
        zero = predictions.take(rows)
    else:
        zero, models = fits.cross_train_as_given(rows, _title(top_k))
    this = _start_pass(fits.labels, Round(0, fits.recipe(0).name, rows, zero, _in_top(zero, top_k)), top_k)
    this.models = models
    fits.progress.say(_outcome(this, "cross-training"))
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


def judge_pass(labels: LabelSet, rows: np.ndarray, *, top_k: int, predictions: OutOfFold, progress: Progress) -> Pass:
    """Sort `rows` (m,) by predictions that people brought for all rows: one round, in which nothing is trained."""
    zero = predictions.take(rows)
    this = _start_pass(labels, Round(0, BROUGHT, rows, zero, _in_top(zero, top_k)), top_k)
    progress.say(_outcome(this, "brought predictions"))
    _apply_decisions(labels, this)
    this.stable = True
    return this


def _title(top_k: int) -> str:
    return f"{issue_kind(top_k)} (top {top_k})"


def _in_top(predictions: OutOfFold, top_k: int) -> np.ndarray:
    within: np.ndarray = (predictions.given_rank >= 0) & (predictions.given_rank < top_k)
    return within


def _start_pass(labels: LabelSet, zero: Round, top_k: int) -> Pass:
    """A pass after its round 0."""
    num = len(labels.targets)
    positive, unscored = np.zeros(num, bool), np.zeros(num, bool)
    unscored[zero.rows] = zero.predictions.given_rank < 0
    positive[zero.rows] = zero.positive
    back = np.full(num, -1, np.int16)
    back[positive] = 0
    return Pass(top_k, zero.rows, positive, unscored, back, rounds=[zero])


def _outcome(this: Pass, what: str) -> str:
    num_positive, num_negative = int(this.positive.sum()), int(this.negative.sum())
    return f"  {_title(this.top_k)}  {what}  {num_positive:,} positive  {num_negative:,} negative"


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
    new = _in_top(predictions, this.top_k)
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
