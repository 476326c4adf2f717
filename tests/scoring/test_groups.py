"""Groups of copies, and folds that keep them together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleaner.scoring.groups import assign_folds


def test_folds_are_stratified_and_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(4), [50, 25, 10, 5])
    groups = np.arange(len(targets))
    groups[60] = groups[3]  # a copy under another label
    groups[51:54] = groups[50]
    fold = assign_folds(groups, targets, 5, rng)
    assert fold[60] == fold[3] and len(set(fold[50:54])) == 1
    assert set(fold) == set(range(5))
    counts = pd.crosstab(targets, fold).to_numpy()
    assert (np.ptp(counts[[0, 2, 3]], axis=1) <= 2).all() and np.ptp(counts[1]) <= 4
