"""Looks at labels: what is left wrong, and what is thrown out though right, with truth in the place of a person.

    python benchmarks/label_looks.py DATA [--sets NAME …] [--who NAME …] [--seed 0] [--num 2000] [--work DIR]

DATA and the sets are those of label_decisions.py; tiny50 and cifar10n are cut to `--num` images. In pages of 25. After
0, 100, 200 and 400 the labels that were looked at are right and stay, and everybody's rule is run again with them.

  ours      the queue `labels`, estimated anew after each page; then `cleaner labels`
  frozen    the same queue in the order of the first run; then `cleaner labels`
  random    random looks; then `cleaner labels`
  cleanlab  its default list by self-confidence, then all others; then its list anew
  again     the same, the model trained and the list made anew after each page

cleanlab judges by logistic regression on the features that our heads learn from, on the same folds, its penalty chosen
with the truth known (the best F1 of the list before the first look).

  found  wrong labels that were looked at
  left   wrong labels among the kept
  out    right images thrown out
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cleanlab.filter import find_label_issues
from label_decisions import PRECISION
from label_sets import BACKBONES, load
from scores import precision_recall_f1
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import ArrayStore
from cleaner.modeling.backbones import load_backbones
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.progress import Silent
from cleaner.review.label_queues import most_gain_first
from cleaner.review.label_refit import LabelFit, LabelRefit
from cleaner.scoring.expected_precision import choose_drops
from cleaner.scoring.groups import assign_folds
from cleaner.scoring.out_of_fold import UNDECIDED
from cleaner.stages.labels.fits import StoredFits
from cleaner.stages.labels.issue_estimate import IssueEstimate, estimate_issues
from cleaner.stages.labels.label_set import LabelSet
from cleaner.stages.labels.last_predictions import LastPredictions

SHOWN = (0, 100, 200, 400)
PAGE = 25
FOLDS = 5
PENALTIES = (0.0003, 0.003, 0.03, 0.3)
SETS = [f"{name}{kind}20" for name in ("grocery-", "objects-", "trash-", "") for kind in ("sim", "sym")] + ["random1"]
Looks = tuple[np.ndarray, np.ndarray]
"""Rows in the order in which to look at them, and what would be dropped (n,) bool."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--who", nargs="+", choices=list(WHO), default=list(WHO))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-label-decisions"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    BACKBONES.extend(load_backbones(EmbeddingSettings()))
    rows = []
    for name in args.sets:
        trial = Trial(args.data, name, args.seed, args.num, args.work)
        for who in args.who:
            rows += [{"set": name, "wrong": int(trial.wrong.sum()), "who": who} | row for row in walk(trial, WHO[who])]
            print(json.dumps(rows[-len(SHOWN) :]), file=sys.stderr, flush=True)
    keys, figures = ["set", "wrong", "who"], ["found", "left", "out"]
    print(pd.DataFrame(rows).pivot_table(figures, keys, "looks", sort=False).astype(int).to_string())


class Trial:
    """One set, as the first run sees it."""

    def __init__(self, data: Path, name: str, seed: int, num: int, work: Path) -> None:
        embeddings, given, clean, *_ = load(data, name, seed, work, num)
        classes, self.given = np.unique(given, return_inverse=True)
        self.right = np.searchsorted(classes, clean)
        self.wrong = self.given != self.right
        self.num_classes, self.seed, self.rows = len(classes), seed, np.arange(len(given))
        self.fold = assign_folds(self.rows, self.given, FOLDS, np.random.default_rng([seed, 3]))
        self.learner = ProbeLearner(embeddings, self.num_classes, PRECISION)
        self.features = self.learner.leading_features(self.rows, 128)
        images = FoldedRows(self.rows, self.given, self.fold, np.ones(len(given), np.float32))
        self.zero, _ = cross_train(self.learner, images, PROBE_RECIPES[0], seed=seed)
        self.first = self.estimate(self.nothing)
        classes_of, ids = [str(c) for c in classes], self.rows.astype(str).astype(object)
        last = LastPredictions(self.rows, self.first.last, self.rows, self.features, classes_of, {}, False)
        self.refit = LabelRefit(last, ids)

    @property
    def nothing(self) -> np.ndarray:
        return np.full(len(self.given), UNDECIDED)

    def estimate(self, decided: np.ndarray) -> IssueEstimate:
        """What the labels stage would say."""
        every = np.ones(len(self.rows), bool)
        labels = LabelSet(self.given, self.fold, self.rows, every, decided, self.num_classes, "")
        with tempfile.TemporaryDirectory() as scratch:
            fits = StoredFits(labels, self.learner, self.seed, ArrayStore(Path(scratch)), Silent())
            return estimate_issues(fits, self.zero)

    def drops(self, decided: np.ndarray) -> np.ndarray:
        """What the labels stage would drop."""
        found = self.first if (decided == UNDECIDED).all() else self.estimate(decided)
        candidates = found.flagged & (decided == UNDECIDED)
        return choose_drops(found.issue_prob, candidates, self.given, self.num_classes).drops


class Ours:
    """The queue `labels`."""

    learns = True

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def order(self, decided: np.ndarray) -> np.ndarray:
        return in_order(self.trial, self.trial.refit.fit(decided if self.learns else self.trial.nothing))

    def drops(self, decided: np.ndarray) -> np.ndarray:
        return self.trial.drops(decided)


class Frozen(Ours):
    learns = False


class Random(Ours):
    def order(self, decided: np.ndarray) -> np.ndarray:
        return np.random.default_rng([self.trial.seed, 5]).permutation(self.trial.rows)


def in_order(trial: Trial, fit: LabelFit) -> np.ndarray:
    """The rows of the queue in its order."""
    rows = np.flatnonzero(fit.is_candidate)
    gain = np.where(fit.would_drop, 1 - fit.issue_prob, fit.issue_prob)[rows]
    own = np.nan_to_num(trial.zero.self_confidence[rows])
    return most_gain_first(pd.DataFrame({"row": rows}), gain, own)["row"].to_numpy()


class Cleanlab:
    """Its list by self-confidence."""

    learns = False

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.x = trial.features.astype(np.float64)
        self.x /= self.x.std()
        self.penalty = max(PENALTIES, key=self._f1)
        self.models = self._new(self.penalty)
        self.start = self._judge(trial.nothing)

    def order(self, decided: np.ndarray) -> np.ndarray:
        probs, listed = self._judge(decided) if self.learns else self.start
        own = probs[self.trial.rows, self.trial.given]
        return np.lexsort((own, ~listed))

    def drops(self, decided: np.ndarray) -> np.ndarray:
        return self._judge(decided)[1] & (decided == UNDECIDED)

    def _new(self, penalty: float) -> list[LogisticRegression]:
        return [LogisticRegression(C=penalty, max_iter=200, warm_start=True) for _ in range(FOLDS)]

    def _f1(self, penalty: float) -> float:
        self.models = self._new(penalty)
        return precision_recall_f1(self._judge(self.trial.nothing)[1], self.trial.wrong)[2]

    def _judge(self, decided: np.ndarray) -> Looks:
        """Out-of-fold probabilities (n, K) and its list (n,) bool, by the labels as people corrected them."""
        labels = np.where(decided >= 0, decided, self.trial.given)
        probs = np.zeros((len(labels), self.trial.num_classes))
        with threadpool_limits(1):
            for number, model in enumerate(self.models):
                mine = self.trial.fold == number
                model.fit(self.x[~mine], labels[~mine])
                probs[np.ix_(mine, model.classes_)] = model.predict_proba(self.x[mine])
        return probs, find_label_issues(labels, probs, n_jobs=1)


class CleanlabAgain(Cleanlab):
    learns = True


WHO: dict[str, Callable[[Trial], Ours | Cleanlab]] = {
    "ours": Ours,
    "frozen": Frozen,
    "random": Random,
    "cleanlab": Cleanlab,
    "again": CleanlabAgain,
}


def walk(trial: Trial, start: Callable[[Trial], Ours | Cleanlab]) -> list[dict[str, int]]:
    """Figures after each of SHOWN looks."""
    who, decided, rows = start(trial), trial.nothing, []
    for num in range(0, SHOWN[-1] + 1, PAGE):
        if num in SHOWN:
            dropped = who.drops(decided)
            left = trial.wrong & (decided == UNDECIDED) & ~dropped
            found = int((trial.wrong & (decided != UNDECIDED)).sum())
            out = int((dropped & ~trial.wrong).sum())
            rows.append({"looks": num, "found": found, "left": int(left.sum()), "out": out})
        order = who.order(decided)
        asked = order[decided[order] == UNDECIDED][:PAGE]
        decided = decided.copy()
        decided[asked] = trial.right[asked]
    return rows


if __name__ == "__main__":
    main()
