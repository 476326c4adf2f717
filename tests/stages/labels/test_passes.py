"""The rounds of a label pass on planted features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cleaner.dataset.store import ArrayStore
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.probe import ProbeLearner
from cleaner.progress import Silent
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED
from cleaner.stages.labels.fits import LabelSet, StoredFits
from cleaner.stages.labels.passes import Pass, plan_passes, run_in_turn, run_pass
from tests.support.planted import K, planted


def label_set(given: np.ndarray, decided: np.ndarray | None = None) -> LabelSet:
    num = len(given)
    return LabelSet(
        targets=given,
        fold=np.arange(num) % 5,
        groups=np.arange(num),
        learns=np.ones(num, bool),
        decided=np.full(num, UNDECIDED) if decided is None else decided,
        num_classes=K,
        identity="test",
    )


def fits_of(embeddings: Embeddings, labels: LabelSet, folder: Path) -> StoredFits:
    return StoredFits(labels, ProbeLearner(embeddings, K), 0, ArrayStore(folder), Silent())


def test_rounds_pull_good_images_back_judge_negatives_only_and_end_when_stable(tmp_path: Path) -> None:
    embeddings, true, given = planted()
    rows = np.arange(len(given))
    this = run_pass(fits_of(embeddings, label_set(given), tmp_path), rows, top_k=1, max_rounds=8)
    wrong = given != true
    found = ~this.positive
    assert found[wrong].mean() >= 0.9 and wrong[found].mean() >= 0.8
    assert this.stable and len({r.recipe for r in this.rounds[:5]}) >= min(4, len(this.rounds))
    seen = this.rounds[0].positive.copy()
    for r in this.rounds[1:]:
        assert not seen[r.rows].any(), "a positive was judged again"
        seen[r.rows[r.positive]] = True
    assert (seen == this.positive).all()
    assert ((this.pulled_back_round == -1) == ~this.positive).all()
    tail = [int(r.positive.sum()) for r in this.rounds[-2:]]
    assert tail == [0, 0] or not (~this.positive).any()


def test_decided_rows_are_fixed_from_round_one_on(tmp_path: Path) -> None:
    embeddings, _, given = planted()
    decided = np.full(len(given), -1)
    decided[:4] = given[:4]  # a person says: right
    decided[5:8] = NO_CLASS
    sets = (label_set(given), label_set(given, decided))
    plain, obeying = (
        run_pass(fits_of(embeddings, labels, tmp_path), np.arange(len(given)), top_k=1, max_rounds=2) for labels in sets
    )
    assert np.array_equal(plain.rounds[0].predictions.given_rank, obeying.rounds[0].predictions.given_rank)
    assert obeying.positive[:4].all() and not obeying.positive[5:8].any()
    assert all(not set(r.rows) & {0, 1, 2, 3, 5, 6, 7} for r in obeying.rounds[1:])


def test_passes_that_are_nearly_blind_are_skipped() -> None:
    assert plan_passes((5, 1), 11) == ([5, 1], [])
    assert plan_passes((5, 1), 10) == ([1], [5])
    assert plan_passes((5, 3, 1), 8) == ([3, 1], [5])
    assert plan_passes((1,), 2) == ([1], [])


def test_no_pass_follows_one_that_leaves_nothing(tmp_path: Path) -> None:
    embeddings, _, given = planted()
    labels = replace(label_set(given), learns=np.zeros(len(given), bool))  # no row teaches anything
    judged = []

    def run(rows: np.ndarray, top_k: int) -> Pass:
        judged.append((len(rows), top_k))
        return run_pass(fits_of(embeddings, labels, tmp_path), rows, top_k=top_k, max_rounds=2)

    (only,) = run_in_turn([3, 2, 1], len(given), run)
    assert judged == [(len(given), 3)]
    assert only.unscored.all() and not only.positive.any()
