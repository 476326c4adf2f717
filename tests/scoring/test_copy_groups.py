"""Groups of confirmed copies, and where pictures lie in one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cleaner.dataset.near_features import TURNS
from cleaner.scoring.copy_groups import RELATIONS, Pair, Placing, group_copies
from cleaner.scoring.duplicates import INVERSE_TURN
from tests.support.alike import photo

WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("inner", range(8))
@pytest.mark.parametrize("outer", range(8))
def test_placings_follow_one_another_as_pictures_do(outer: int, inner: int) -> None:
    image = photo(0, 60, 40)

    def part(whole: object, placing: Placing) -> object:
        box = [round(share * side) for share, side in zip(placing.frame, whole.size * 2, strict=True)]
        turn = TURNS[INVERSE_TURN[placing.turn]]
        return whole.crop(box) if turn is None else whole.crop(box).transpose(turn)

    first, second = Placing(outer, (0.1, 0.2, 0.6, 0.7)), Placing(inner, (0.1, 0.2, 0.5, 0.8))
    expected = part(part(image, first), second)
    found = part(image, first.after(second))
    assert np.array_equal(np.asarray(expected), np.asarray(found))
    back = first.inverse().after(first)
    assert back.turn == 0 and np.allclose(back.frame, WHOLE)


@pytest.mark.parametrize(
    ("turn", "frame", "relation"),
    [
        (0, WHOLE, "same_view"),
        (0, (0.03, 0.0, 0.97, 1.02), "same_view"),
        (0, (0.1, 0.0, 1.0, 1.0), "part"),
        (0, (-0.2, 0.0, 1.2, 1.0), "wider"),
        (1, WHOLE, "mirrored"),
        (5, (0.2, 0.2, 0.9, 0.9), "mirrored_part"),
        (6, WHOLE, "turned"),
        (3, (-0.1, -0.1, 1.1, 1.1), "turned_wider"),
    ],
)
def test_relations(turn: int, frame: tuple[float, float, float, float], relation: str) -> None:
    assert Placing(turn, frame).relation == relation and relation in RELATIONS


class Truth:
    """Confirms the pairs that it is given, and counts those that it is asked."""

    def __init__(self, *alike: tuple[int, int]) -> None:
        self.alike = set(alike)
        self.num_asked = 0

    def __call__(self, pairs: Sequence[Pair]) -> list[Placing | None]:
        self.num_asked += len(pairs)
        return [placing if (i, j) in self.alike else None for i, j, placing in pairs]


def candidates(*pairs: tuple[int, int]) -> list[Pair]:
    return [(i, j, Placing(0, WHOLE)) for i, j in pairs]


def test_members_are_copies_of_the_first_and_form_no_chain() -> None:
    truth = Truth((0, 1), (1, 2), (2, 3))  # 2 is no copy of 0, though 1 joins them; 2 and 3 make a group of their own
    leader, placings = group_copies(5, candidates((0, 1), (1, 2), (2, 3), (3, 4)), truth)
    assert leader.tolist() == [0, 0, 2, 2, 4] and set(placings) == {1, 3}


def test_members_found_over_others_are_compared_with_the_first() -> None:
    truth = Truth((0, 1), (1, 2), (0, 2), (2, 3), (0, 3))
    leader, _ = group_copies(4, candidates((0, 1), (1, 2), (2, 3)), truth)
    assert leader.tolist() == [0, 0, 0, 0]


def test_a_crowd_of_copies_costs_few_comparisons() -> None:
    num = 400
    truth = Truth(*((i, j) for j in range(num) for i in range(j)))
    pairs = candidates(*((i, j) for j in range(num) for i in range(max(0, j - 3), j)))
    leader, _ = group_copies(num, pairs, truth)
    assert (leader == 0).all() and truth.num_asked <= 4 * num


def test_none() -> None:
    assert group_copies(0, [], Truth())[0].tolist() == []
    assert group_copies(2, candidates((0, 1)), Truth())[0].tolist() == [0, 1]
