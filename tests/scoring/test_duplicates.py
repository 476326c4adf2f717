"""Pairs of alike hashes, as they are and turned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleaner.scoring import duplicates
from cleaner.scoring.duplicates import INVERSE_TURN, find_near_pairs

MANY = 1000


@pytest.fixture(params=["all pairs", "tables"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to search, which have to find the same."""
    if request.param == "tables":
        monkeypatch.setattr(duplicates, "_FEW", 0)


def by_all_pairs(hashes: np.ndarray, radius: int) -> dict[tuple[int, int], tuple[int, int]]:
    """The definition, word for word: for i < j the smallest distance of any turn, and that turn."""
    bits = np.unpackbits(hashes, axis=2)
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for turn in range(hashes.shape[1]):
        for i in range(len(bits)):
            for j in range(len(bits)):
                distance = int((bits[i, 0] != bits[j, turn]).sum())
                if i != j and distance <= radius:
                    found = (distance, turn if i < j else INVERSE_TURN[turn])
                    pair = (min(i, j), max(i, j))
                    best[pair] = min(best.get(pair, found), found)
    return best


def crowds(num: int, num_crowds: int, flips: float, seed: int) -> np.ndarray:
    """(num, 16) uint8: hashes that lie about `flips` bits from one of `num_crowds` centres."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (num_crowds, 128), dtype=np.uint8)
    bits = centres[rng.integers(0, num_crowds, num)]
    return np.packbits(bits ^ (rng.random(bits.shape) < flips / 128), axis=1)


def found(hashes: np.ndarray, radius: int, most: int = MANY) -> list[tuple[int, ...]]:
    return [tuple(row) for row in find_near_pairs(hashes, radius, most).tolist()]


@settings(max_examples=40, deadline=None)
@given(
    num=st.integers(0, 40),
    num_crowds=st.integers(1, 12),
    flips=st.sampled_from([0, 1, 3, 6, 10, 20]),
    radius=st.integers(0, 24),
    turns=st.sampled_from([1, 3, 7]),
    seed=st.integers(0, 2**31),
)
def test_equals_comparing_all_pairs(
    num: int, num_crowds: int, flips: float, radius: int, turns: int, seed: int
) -> None:
    hashes = crowds(num * turns, num_crowds, flips, seed).reshape(num, turns, 16)
    expected = by_all_pairs(hashes, radius)
    assert {row[:2]: row[2] for row in found(hashes, radius)} == {pair: turn for pair, (_, turn) in expected.items()}


@settings(max_examples=15, deadline=None)
@given(num_crowds=st.integers(1, 6), radius=st.sampled_from([1, 8, 16, 24]), seed=st.integers(0, 2**31))
def test_each_picture_keeps_its_nearest_earlier_ones(num_crowds: int, radius: int, seed: int) -> None:
    hashes = crowds(60, num_crowds, 5, seed).reshape(60, 1, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "CHUNK_PAIRS", 50)
        kept = found(hashes, radius, 3)
    expected = []
    pairs = by_all_pairs(hashes, radius)
    for j in range(60):
        near = sorted((distance, i) for (i, later), (distance, _) in pairs.items() if later == j)[:3]
        expected += [(i, j, 0) for _, i in near]
    assert sorted(kept) == sorted(expected)


def flipped(*bits: int) -> np.ndarray:
    row = np.zeros(128, dtype=np.uint8)
    row[list(bits)] = 1
    return np.packbits(row)


def test_the_edge_of_the_radius_is_inside() -> None:
    for radius in (1, 12, 16, 24):
        rows = [flipped(), flipped(*range(radius)), flipped(*range(127 - 2 * radius - 1, 127 - radius))]
        assert found(np.stack(rows)[:, None], radius) == [(0, 1, 0)]


def test_a_quarter_turn_is_told_from_its_opposite() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (6, 7, 16), dtype=np.uint8)
    hashes[4, 6] = hashes[1, 0]  # 4, turned by the sixth orientation, is 1
    hashes[2, 6] = hashes[5, 0]  # 2, turned by it, is 5: so 5, turned by the seventh, is 2
    assert found(hashes, 10) == [(1, 4, 6), (2, 5, 7)]


def test_a_picture_that_is_alike_however_turned_takes_one_place() -> None:
    rng = np.random.default_rng(1)
    hashes = np.repeat(rng.integers(0, 256, (1, 1, 16), dtype=np.uint8), 7, axis=1)  # all turns alike
    hashes = np.repeat(hashes, 5, axis=0)
    hashes[4, 1:] ^= rng.integers(0, 256, (6, 16), dtype=np.uint8)
    assert [(i, j) for i, j, _ in found(hashes, 8, 4) if j == 4] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert len(found(hashes, 8, 4)) == 10


@pytest.mark.parametrize("num", [30, 2_000])
def test_of_many_alike_those_of_like_colours_are_kept(num: int) -> None:
    rng = np.random.default_rng(2)
    hashes = np.packbits(rng.random((num, 1, 128)) < 0.01, axis=2)  # one layout
    colours = rng.integers(0, 256, (num, 6), dtype=np.uint8)
    copies = rng.choice(num // 2, 10, replace=False)
    hashes = np.concatenate([hashes, hashes[copies]])
    colours = np.concatenate(
        [colours, np.clip(colours[copies], 1, 254) + rng.integers(-1, 2, (10, 6)).astype(np.uint8)]
    )
    pairs = {(int(i), int(j)) for i, j, _ in find_near_pairs(hashes, 10, 2, colours)}
    assert {(int(i), num + k) for k, i in enumerate(copies)} <= pairs
    assert {(int(i), num + k) for k, i in enumerate(copies)} - {(i, j) for i, j, _ in found(hashes, 10, 2)}


def test_no_pictures() -> None:
    assert find_near_pairs(np.empty((0, 7, 16), dtype=np.uint8), 16, 8).shape == (0, 3)
    assert find_near_pairs(np.empty((1, 7, 16), dtype=np.uint8), 16, 8).shape == (0, 3)


def test_a_crowd_costs_little_more_than_its_size() -> None:
    hashes = np.zeros((6_000, 1, 16), dtype=np.uint8)
    hashes[-1] = 255
    pairs = find_near_pairs(hashes, 4, 3)
    assert set(pairs[:, 1].tolist()) == set(range(1, 5_999)) and len(pairs) <= 3 * 6_000
    unequal = crowds(2_000, 1, 3, 0).reshape(-1, 1, 16)
    later = find_near_pairs(unequal, 12, 4)[:, 1]
    assert np.bincount(later).max() <= 4 and len(np.unique(later)) > 1_900


def test_older_numpy_counts_bits_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = crowds(100, 4, 6, 7).reshape(-1, 1, 16)
    newer = found(hashes, 16)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert found(hashes, 16) == newer
