"""The label set: which rows have something to be judged by."""

from __future__ import annotations

import numpy as np

from cleaner.scoring.out_of_fold import UNDECIDED
from cleaner.stages.labels.label_set import LabelSet


def test_a_row_is_scorable_if_another_fold_teaches_its_class() -> None:
    labels = LabelSet(
        targets=np.array([0, 0, 1, 1, 2, 3, 3]),
        fold=np.array([0, 1, 2, 2, 0, 0, 1]),
        groups=np.arange(7),
        learns=np.array([True, True, True, True, True, True, False]),
        decided=np.full(7, UNDECIDED),
        num_classes=4,
    )
    # class 1 is in one fold alone, class 2 has one row, of class 3 the row in fold 1 teaches nothing
    assert labels.scorable.tolist() == [True, True, False, False, False, False, True]
