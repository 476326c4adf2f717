"""Rules on label issues: which classes are spared, and which copy of a conflict stays."""

from __future__ import annotations

import numpy as np

from cleaner.scoring.label_quality import find_conflict_losers, find_spared_classes


def test_classes_that_would_be_all_but_emptied_are_spared() -> None:
    # class: images, positives; spared where positives < max(5, 30 % of images)
    planted = [(100, 30, False), (100, 29, True), (10, 5, False), (10, 4, True), (4, 4, True), (0, 0, False)]
    targets = np.repeat(np.arange(6), [n for n, *_ in planted])
    positive = np.concatenate([np.arange(n) < p for n, p, _ in planted])
    assert find_spared_classes(targets, positive, 6).tolist() == [spared for *_, spared in planted]


def test_the_best_claim_on_a_copy_wins() -> None:
    groups = np.array([0, 0, 1, 1, 1, 2, 3, 0])
    contested = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
    order = np.array([3, 7, 4, 6, 0, 1, 2, 5])  # best first; row 3 takes no part
    assert np.flatnonzero(find_conflict_losers(groups, contested, order)).tolist() == [0, 1, 2]
    assert not find_conflict_losers(groups, np.zeros(8, bool), order).any()
