"""cleanlab's fair best: logistic regression on the features that our heads get, its C and the filter chosen without us.

Both are chosen by F1 on one part of the rows (lay_out.py's `tune`) and measured on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from scores import CLEANLAB_FILTERS
from sklearn.linear_model import LogisticRegression

CS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Features have a mean squared length of 640, so that a C that is good is small."""


@dataclass(frozen=True)
class FairBest:
    """What cleanlab flags with the settings that were best on the other part."""

    flagged: np.ndarray
    """(n,) bool."""
    which: str
    """Filter and C."""


def fair_best(
    x: np.ndarray, targets: np.ndarray, fold: np.ndarray, wrong: np.ndarray, chosen_on: np.ndarray
) -> FairBest:
    """Rows of `x` (n, d) whose label in `targets` (n,) cannot be right, as cleanlab judges.

    `fold` (n,) of the cross-validation; `wrong` (n,) bool is read where `chosen_on` (n,) bool is set. Without wrong
    labels there, what flags the fewest is chosen.
    """
    best, found = -np.inf, FairBest(np.zeros(len(targets), bool), "")
    for c in CS:
        probs = out_of_fold(x, targets, fold, c)
        for name in CLEANLAB_FILTERS:
            flagged = find_label_issues(targets, probs, filter_by=name, n_jobs=1)
            score = f1(flagged[chosen_on], wrong[chosen_on]) if wrong.any() else -flagged[chosen_on].mean()
            if score > best:
                best, found = score, FairBest(flagged, f"{name} {c:g}")
    return found


def out_of_fold(x: np.ndarray, targets: np.ndarray, fold: np.ndarray, c: float) -> np.ndarray:
    """Probabilities (n, K) float64, each row by the model of the other folds."""
    probs = np.zeros((len(x), int(targets.max()) + 1))
    for number in np.unique(fold):
        held_out = fold == number
        model = LogisticRegression(C=c, max_iter=300).fit(x[~held_out], targets[~held_out])
        probs[np.ix_(held_out, model.classes_)] = model.predict_proba(x[held_out])
    return probs


def f1(found: np.ndarray, true: np.ndarray) -> float:
    """F1 of the rows found."""
    return 2 * float((found & true).sum()) / max(1, int(found.sum() + true.sum()))
