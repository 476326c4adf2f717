"""The rounds of one label pass: cross-training, then pulling back, round by round. recipe.md section 2."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.modeling.crossval import Judgement, cross_train, fit_and_judge
from cleaner.modeling.learner import Learner, Recipe
from cleaner.progress import Progress

_QUIET_ROUNDS = 2
"""So many consecutive rounds without a new positive end a pass."""
_MODEL = "fold_"


@dataclass(frozen=True)
class LabelSet:
    """The images of a label pass, over n rows."""

    targets: np.ndarray
    """(n,) int64: the given label as a class number."""
    fold: np.ndarray
    """(n,) int64 from 0."""
    groups: np.ndarray
    """(n,) int64: duplicates share a number."""
    learns: np.ndarray
    """(n,) bool: rows that models may learn from (split train)."""
    decided: np.ndarray
    """(n,) int64: the class number that a person gave; -1: none; -2: a person threw the image out."""
    num_classes: int
    identity: str
    """Digest of the images and of the network that sees them, for the cache."""


@dataclass(frozen=True)
class Round:
    """What one round judged."""

    number: int
    recipe: str
    rows: np.ndarray
    """(m,) int64: the rows judged."""
    judgement: Judgement
    """Of those m rows."""
    positive: np.ndarray
    """(m,) bool: positive after this round."""


@dataclass
class Pass:
    """One pass over a set of rows."""

    name: str
    """coarse or fine."""
    top_k: int
    rows: np.ndarray
    """(m,) int64: the rows that it judged."""
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


def run_pass(
    labels: LabelSet,
    learner: Learner,
    rows: np.ndarray,
    *,
    name: str,
    top_k: int,
    max_rounds: int,
    seed: int,
    store: ArrayStore,
    progress: Progress,
    predictions: Judgement | None = None,
) -> Pass:
    """Judge `rows` (m,) under their given labels: those in the top k are positive, the rest is retried and pulled back.

    `predictions` of all rows, where somebody brought them, stand in for the cross-training. Every fit is stored under
    a key of all it depends on, so that an interrupted or repeated run takes it up.
    """
    this = _round_zero(labels, learner, rows, name, top_k, seed, store, progress, predictions)
    _apply_decisions(labels, this)
    quiet = 0
    for number in range(1, max_rounds + 1):
        negatives = rows[~this.positive[rows] & ~this.unscored[rows] & (labels.decided[rows] == -1)]
        if not len(negatives):
            this.stable = True
            break
        num_new = _pull_back(labels, learner, this, negatives, number, seed, store, progress)
        quiet = 0 if num_new else quiet + 1
        if quiet == _QUIET_ROUNDS:
            this.stable = True
            break
    return this


def targets_now(labels: LabelSet) -> np.ndarray:
    """Class numbers (n,) to learn from: a person's label where there is one, else the given."""
    return np.where(labels.decided >= 0, labels.decided, labels.targets)


def cross_train_stored(
    labels: LabelSet,
    learner: Learner,
    rows: np.ndarray,
    row_weights: np.ndarray,
    recipe: Recipe,
    *,
    targets: np.ndarray,
    title: str,
    seed: int,
    store: ArrayStore,
    progress: Progress,
) -> tuple[Judgement, list[Arrays]]:
    """Cross-train `rows` (m,), or take up the stored result; see `cross_train`. Returns it and the fold models' arrays.

    `row_weights`, `targets` (n,) are over all rows of `labels`.
    """
    given, fold, weights, learned = labels.targets[rows], labels.fold[rows], row_weights[rows], targets[rows]
    key = digest_of("cross-training", labels.identity, rows, given, learned, fold, weights, asdict(recipe), seed)

    def compute(checkpoint_dir: Path) -> Arrays:
        with progress.task(f"{title} cross-training ({recipe.name})", recipe.epochs) as task:
            judgement, models = cross_train(
                learner, rows, given, fold, weights, targets=learned,
                num_classes=labels.num_classes, recipe=recipe, seed=seed,
                checkpoint_dir=checkpoint_dir, on_epoch=task.advance,
            )  # fmt: skip
        states = {f"{_MODEL}{i}.{k}": v for i, m in enumerate(models) for k, v in m.state().items()}
        return judgement.arrays() | states

    arrays = store.resume(key, compute)
    return Judgement.from_arrays(arrays), _model_states(arrays)


def _round_zero(
    labels: LabelSet,
    learner: Learner,
    rows: np.ndarray,
    name: str,
    top_k: int,
    seed: int,
    store: ArrayStore,
    progress: Progress,
    predictions: Judgement | None,
) -> Pass:
    models: list[Arrays] = []
    if predictions is not None:
        judgement, recipe_name = predictions.take(rows), "predictions"
    else:
        recipe_name = learner.recipes[0].name
        judgement, models = cross_train_stored(
            labels, learner, rows, labels.learns.astype(np.float32), learner.recipes[0],
            targets=labels.targets, title=f"{name} (top {top_k})", seed=seed, store=store, progress=progress,
        )  # fmt: skip
    num = len(labels.targets)
    positive, unscored = np.zeros(num, bool), np.zeros(num, bool)
    unscored[rows] = judgement.given_rank < 0
    positive[rows] = (judgement.given_rank >= 0) & (judgement.given_rank < top_k)
    back = np.full(num, -1, np.int16)
    back[positive] = 0
    this = Pass(name, top_k, rows, positive, unscored, back, models=models)
    this.rounds.append(Round(0, recipe_name, rows, judgement, positive[rows].copy()))
    num_negative = len(rows) - int(positive.sum()) - int(unscored.sum())
    progress.say(f"  {name} (top {top_k})  cross-training  {int(positive.sum()):,} positive  {num_negative:,} negative")
    return this


def _model_states(arrays: Arrays) -> list[Arrays]:
    states: dict[int, Arrays] = {}
    for name, values in arrays.items():
        if name.startswith(_MODEL):
            number, _, part = name.removeprefix(_MODEL).partition(".")
            states.setdefault(int(number), {})[part] = values
    return [states[i] for i in sorted(states)]


def _apply_decisions(labels: LabelSet, this: Pass) -> None:
    """People's decisions enter after round 0: fixed positives under their label, fixed negatives."""
    mine = np.zeros(len(labels.targets), bool)
    mine[this.rows] = True
    fixed = mine & (labels.decided != -1)
    this.positive[fixed] = labels.decided[fixed] >= 0
    this.unscored[fixed] = False


def _pull_back(
    labels: LabelSet,
    learner: Learner,
    this: Pass,
    negatives: np.ndarray,
    number: int,
    seed: int,
    store: ArrayStore,
    progress: Progress,
) -> int:
    recipe = learner.recipes[number % len(learner.recipes)]
    learned = _rows_to_learn(labels, this)
    if not len(learned):  # each positive has a twin among the negatives
        return 0
    targets, given = targets_now(labels)[learned], labels.targets[negatives]
    round_seed = seed * 1009 + number
    key = digest_of("round", labels.identity, learned, targets, negatives, given, asdict(recipe), round_seed)

    def compute(checkpoint_dir: Path) -> Arrays:
        with progress.task(f"{this.name} round {number} ({recipe.name})", recipe.epochs) as task:
            return fit_and_judge(
                learner, learned, targets, negatives, given,
                num_classes=labels.num_classes, recipe=recipe, seed=round_seed,
                checkpoint_dir=checkpoint_dir, on_epoch=task.advance,
            ).arrays()  # fmt: skip

    judgement = Judgement.from_arrays(store.resume(key, compute))
    new = (judgement.given_rank >= 0) & (judgement.given_rank < this.top_k)
    this.positive[negatives[new]] = True
    this.pulled_back_round[negatives[new]] = number
    this.rounds.append(Round(number, recipe.name, negatives, judgement, new))
    progress.say(f"    round {number}  {recipe.name}  pulled back {int(new.sum()):,}")
    return int(new.sum())


def _rows_to_learn(labels: LabelSet, this: Pass) -> np.ndarray:
    """Positives, but for those that share a duplicate group with a negative: it would be judged by its own twin."""
    mine = np.zeros(len(labels.targets), bool)
    mine[this.rows] = True
    negative_groups = np.unique(labels.groups[mine & ~this.positive & ~this.unscored])
    free = ~np.isin(labels.groups, negative_groups)
    return np.flatnonzero(this.positive & labels.learns & free)
