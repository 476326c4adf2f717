"""Finds near duplicates among perceptual hashes without comparing all pairs.

Two hashes that differ in at most r bits differ in few bits of at least one of their bands: with b bands, band k being
allowed t_k differing bits, that is certain if sum(t_k + 1) > r (the pigeonhole principle; Norouzi, Punjani and Fleet,
"Fast search in Hamming space with multi-index hashing", 2012). So pairs are looked up band by band in a table indexed
by the band's value, and verified on all bits: no pair within the radius is missed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

HASH_BITS = 128
_MAX_BAND_BITS = 20  # a table of 2^20 starts stays within a core's cache
CHUNK_PAIRS = 1 << 20  # candidate pairs compared at once: about 60 MB
MAX_PAIRS = 1 << 23  # pairs held at once: 128 MB; if there are more, the images are split in halves
MIN_BLOCK = 1024  # all pairs of this many images can be held

Array = np.ndarray[Any, np.dtype[Any]]


def find_near_duplicates(hashes: Array, radius: int) -> Array:
    """Groups of near duplicates: (N,) int64, numbered from 0 by first member, -1 for images without a near duplicate.

    `hashes` is (N, 16) uint8, 128 bits each, in order of precedence. In that order, an image joins the first leader
    within `radius` differing bits (0..127); if there is none, it becomes a leader itself. So every member lies within
    `radius` of its group's first image, and there are no chains. Memory is bounded for any hashes; time grows with the
    number of images and the size of the largest group of similar ones.
    """
    hashes = np.ascontiguousarray(hashes, dtype=np.uint8)
    assert hashes.ndim == 2 and hashes.shape[1] * 8 == HASH_BITS, "hashes must be (N, 16) uint8"
    assert 0 <= radius < HASH_BITS
    if len(hashes) == 0:
        return np.empty(0, dtype=np.int64)
    first, inverse = _distinct(hashes)
    words = hashes[first].view(np.uint64)  # (D, 2), in order of first appearance
    leaders = _leaders(words, radius)[inverse]  # (N,): the leader's position among the distinct hashes
    sizes = np.bincount(leaders, minlength=len(first))
    numbers = np.full(len(first), -1, dtype=np.int64)
    crowded = np.flatnonzero(sizes > 1)
    numbers[crowded] = np.arange(len(crowded))
    groups: Array = numbers[leaders]
    return groups


def _distinct(hashes: Array) -> tuple[Array, Array]:
    """Where each distinct hash appears first (D,), rising, and which of them each image has (N,)."""
    keys = hashes.view([("high", ">u8"), ("low", ">u8")]).ravel()
    order = np.lexsort((keys["low"].astype(np.uint64), keys["high"].astype(np.uint64)))
    ordered = keys[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = np.minimum.reduceat(order, np.flatnonzero(starts))
    by_value = np.empty(len(hashes), dtype=np.int64)
    by_value[order] = np.cumsum(starts) - 1
    rank = np.empty(len(first), dtype=np.int64)
    by_first = np.argsort(first)
    rank[by_first] = np.arange(len(first))
    return first[by_first], rank[by_value]


def _leaders(words: Array, radius: int) -> Array:
    """(D,) int64: for each of the distinct hashes (D, 2) uint64 the position of its leader (itself if it leads)."""
    num = len(words)
    leader = np.full(num, -1, dtype=np.int64)
    blocks = [(0, num)]  # a stack, with the first block in order on top
    while blocks:
        low, high = blocks.pop()
        items = low + np.flatnonzero(leader[low:high] < 0)
        pairs = _pairs_within(words[items], radius)
        if pairs is None:  # many similar images: group the first half; most of the second will join it
            middle = items[len(items) // 2]
            blocks += [(middle, high), (low, middle)]
            continue
        own = _first_leaders(len(items), *pairs)
        leader[items] = items[own]
        rest = high + np.flatnonzero(leader[high:] < 0)
        heads = items[own == np.arange(len(items))]
        if len(rest) and len(heads):
            _join_earlier(words, leader, heads, rest, radius)
    return leader


def _join_earlier(words: Array, leader: Array, heads: Array, rest: Array, radius: int) -> None:
    """Give each of `rest` within the radius of one of `heads` the first such head, in place."""
    nearest = np.full(len(rest), len(heads), dtype=np.int64)
    for head, item in _near_pairs(words[heads], words[rest], radius):
        np.minimum.at(nearest, item, head)
    found = nearest < len(heads)
    leader[rest[found]] = heads[nearest[found]]


def _pairs_within(words: Array, radius: int) -> tuple[Array, Array] | None:
    """All pairs i < j (with repetitions) within the radius, or None if there are too many to hold."""
    left, right, total = [], [], 0
    for i, j in _near_pairs(words, None, radius):
        left.append(np.minimum(i, j))
        right.append(np.maximum(i, j))
        total += len(i)
        if total > MAX_PAIRS and len(words) > MIN_BLOCK:
            return None
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *left]), np.concatenate([empty, *right])


def _first_leaders(num: int, left: Array, right: Array) -> Array:
    """(num,) int64: each item's first leader, given all pairs left < right within the radius."""
    leader = np.arange(num)
    order = np.argsort(left, kind="stable")
    left, right = left[order], right[order]
    changes = np.flatnonzero(left[1:] != left[:-1]) + 1
    for start, end in itertools.pairwise([0, *changes.tolist(), len(left)] if len(left) else []):
        head = left[start]
        if leader[head] == head:
            near = right[start:end]
            near = near[leader[near] == near]  # later items without a leader
            leader[near] = head
    return leader


@dataclass(frozen=True)
class _Band:
    bits: Array  # (B,) positions of its bits among the 128
    masks: Array  # (M,) uint32: which differences of its value are allowed, 0 first


def _plan_bands(num: int, radius: int) -> list[_Band]:
    """The bands for which the search over `num` hashes is cheapest, by expected table look-ups and candidates."""
    best: tuple[float, list[int]] | None = None
    for allowed in range(4):
        num_bands = -(-(radius + 1) // (allowed + 1))
        if num_bands > HASH_BITS // 2:
            continue
        spare = num_bands * (allowed + 1) - (radius + 1)  # bands that may allow one difference less
        budget = [allowed] * (num_bands - spare) + [allowed - 1] * spare
        bits = min(HASH_BITS // num_bands, _MAX_BAND_BITS)
        cost = sum(len(_masks(bits, t)) for t in budget) * (1 + num / 2**bits)
        if best is None or cost < best[0]:
            best = cost, budget
    assert best is not None
    budget = best[1]
    # bits are dealt in turn: neighbouring bits of a hash correlate, and would make a band's values uneven
    return [
        _Band(bits, _masks(len(bits), t))
        for t, bits in ((t, np.arange(k, HASH_BITS, len(budget))[:_MAX_BAND_BITS]) for k, t in enumerate(budget))
    ]


def _masks(bits: int, allowed: int) -> Array:
    sets = (c for t in range(allowed + 1) for c in itertools.combinations(range(bits), t))
    return np.array([sum(1 << b for b in c) for c in sets], dtype=np.uint32)


def _near_pairs(index: Array, queries: Array | None, radius: int) -> Iterator[tuple[Array, Array]]:
    """Pairs (i, j) of positions in `index` (D, 2) and `queries` (Q, 2) within the radius, in chunks, with repetitions.

    Without `queries`: pairs of different positions in `index`, each in one of its two orders.
    """
    for band in _plan_bands(len(index), radius):
        values = _band_values(index, band.bits)
        order = np.argsort(values, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=1 << len(band.bits)))])
        sorted_words = index[order]
        if queries is None:
            asked, asked_order, asked_words = values[order], order, sorted_words
        else:
            asked = _band_values(queries, band.bits)
            asked_order = np.argsort(asked, kind="stable")
            asked, asked_words = asked[asked_order], queries[asked_order]
        for mask in band.masks:
            partner = asked ^ mask
            low, high = starts[partner], starts[partner + 1]
            if queries is None:  # each pair from one side only
                low = np.arange(1, len(asked) + 1) if mask == 0 else np.where(asked < partner, low, high)
            for i, j in _expand(low, high):
                distance = _bit_count(sorted_words[i, 0] ^ asked_words[j, 0])
                distance += _bit_count(sorted_words[i, 1] ^ asked_words[j, 1])
                near = distance <= radius
                yield order[i[near]], asked_order[j[near]]


def _expand(low: Array, high: Array) -> Iterator[tuple[Array, Array]]:
    """All (i, j) with low[j] <= i < high[j], at most about CHUNK_PAIRS at a time."""
    some = np.flatnonzero(high > low)
    low, counts = low[some], high[some] - low[some]
    ends = np.cumsum(counts)
    at = 0
    while at < len(some):
        before = ends[at] - counts[at]
        to = max(at + 1, int(np.searchsorted(ends, before + CHUNK_PAIRS, side="right")))
        j = np.repeat(np.arange(at, to), counts[at:to])
        i = np.arange(before, ends[to - 1]) - (ends[j] - counts[j]) + low[j]
        if to == at + 1 and len(i) > CHUNK_PAIRS:
            for part in range(0, len(i), CHUNK_PAIRS):
                yield i[part : part + CHUNK_PAIRS], some[j[part : part + CHUNK_PAIRS]]
        else:
            yield i, some[j]
        at = to


def _band_values(words: Array, bits: Array) -> Array:
    """(D,) uint32: the chosen bits of each hash as a number."""
    values = np.zeros(len(words), dtype=np.uint32)
    for place, bit in enumerate(bits):
        taken = (words[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)
        values |= taken.astype(np.uint32) << np.uint32(place)
    return values


def _bit_count(words: Array) -> Array:
    """(P,) uint8: how many bits are set in each of (P,) uint64."""
    if hasattr(np, "bitwise_count"):
        counts: Array = np.bitwise_count(words)
        return counts
    return _bit_count_before_numpy_2(words)


def _bit_count_before_numpy_2(words: Array) -> Array:
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    counts: Array = ((eights * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
    return counts
