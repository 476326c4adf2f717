"""How far two people agree."""

from __future__ import annotations

import pytest

from cleaner.review.agreement import compute_kappa


def test_kappa_of_known_answers() -> None:
    # Cohen 1960's formula on a table with 20, 5, 10, 15: observed 0.7, chance 0.5
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert compute_kappa(list(pairs)) == pytest.approx(0.4)
    assert compute_kappa([("a", "a"), ("b", "b")]) == 1
    assert compute_kappa([("a", "a")]) != compute_kappa([("a", "a")])  # NaN: chance explains everything
