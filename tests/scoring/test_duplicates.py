from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleaner.scoring import duplicates
from cleaner.scoring.duplicates import find_near_duplicates


def by_all_pairs(hashes: np.ndarray, radius: int) -> np.ndarray:
    """The definition, word for word: (N,) group numbers."""
    bits = np.unpackbits(hashes, axis=1)
    leader: list[int] = []
    for i in range(len(bits)):
        near = (j for j in range(i) if leader[j] == j and (bits[i] != bits[j]).sum() <= radius)
        leader.append(next(near, i))
    groups, numbers = np.full(len(bits), -1), {}
    for i, head in enumerate(leader):
        if leader.count(head) > 1:
            groups[i] = numbers.setdefault(head, len(numbers))
    return groups


def crowds(num: int, num_crowds: int, flips: float, seed: int) -> np.ndarray:
    """(num, 16) uint8: hashes that lie about `flips` bits from one of `num_crowds` centres."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (num_crowds, 128), dtype=np.uint8)
    bits = centres[rng.integers(0, num_crowds, num)]
    return np.packbits(bits ^ (rng.random(bits.shape) < flips / 128), axis=1)


@settings(max_examples=60, deadline=None)
@given(
    num=st.integers(0, 60),
    num_crowds=st.integers(1, 12),
    flips=st.sampled_from([0, 1, 3, 6, 10, 20]),
    radius=st.integers(0, 24),
    seed=st.integers(0, 2**31),
)
def test_equals_comparing_all_pairs(num: int, num_crowds: int, flips: float, radius: int, seed: int) -> None:
    hashes = crowds(num, num_crowds, flips, seed)
    assert find_near_duplicates(hashes, radius).tolist() == by_all_pairs(hashes, radius).tolist()


@settings(max_examples=30, deadline=None)
@given(num_crowds=st.integers(1, 6), radius=st.sampled_from([1, 8, 12, 16, 24]), seed=st.integers(0, 2**31))
def test_equals_comparing_all_pairs_where_memory_is_short(num_crowds: int, radius: int, seed: int) -> None:
    hashes = crowds(80, num_crowds, 5, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "MAX_PAIRS", 100)
        patch.setattr(duplicates, "MIN_BLOCK", 8)
        patch.setattr(duplicates, "CHUNK_PAIRS", 50)
        found = find_near_duplicates(hashes, radius)
    assert found.tolist() == by_all_pairs(hashes, radius).tolist()


def flipped(*bits: int) -> np.ndarray:
    row = np.zeros(128, dtype=np.uint8)
    row[list(bits)] = 1
    return np.packbits(row)


def test_members_lie_near_the_first_image_and_form_no_chain() -> None:
    hashes = np.stack([flipped(), flipped(0, 1), flipped(0, 1, 2, 3), flipped(0, 1, 2, 3, 4), flipped(*range(60, 90))])
    assert find_near_duplicates(hashes, 2).tolist() == [0, 0, 1, 1, -1]


def test_the_edge_of_the_radius_is_inside() -> None:
    for radius in (1, 12, 16, 24):
        hashes = np.stack([flipped(), flipped(*range(radius)), flipped(*range(127 - 2 * radius - 1, 127 - radius))])
        assert find_near_duplicates(hashes, radius).tolist() == [0, 0, -1]


def test_equal_hashes_make_one_group_at_once() -> None:
    hashes = np.zeros((200_000, 16), dtype=np.uint8)
    hashes[-1] = 255
    groups = find_near_duplicates(hashes, 16)
    assert (groups[:-1] == 0).all() and groups[-1] == -1


def test_no_images() -> None:
    assert find_near_duplicates(np.empty((0, 16), dtype=np.uint8), 16).shape == (0,)
    assert find_near_duplicates(np.empty((1, 16), dtype=np.uint8), 16).tolist() == [-1]


def test_a_crowd_of_many_unequal_neighbours_is_bounded() -> None:
    rng = np.random.default_rng(3)
    hashes = np.concatenate([crowds(5_000, 1, 3, 0), rng.integers(0, 256, (20_000, 16), dtype=np.uint8)])
    groups = find_near_duplicates(hashes, 12)
    assert (groups[:5_000] == 0).mean() > 0.9
    assert (groups[5_000:] == -1).all()


def test_older_numpy_counts_bits_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = crowds(300, 4, 6, 7)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert find_near_duplicates(hashes, 16).tolist() == by_all_pairs(hashes, 16).tolist()
