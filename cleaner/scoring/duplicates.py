"""Finds pictures whose perceptual hashes are alike, without comparing all pairs.

Two hashes that differ in at most r bits differ in few bits of at least one of their bands: with b bands, band k being
allowed t_k differing bits, that is certain if sum(t_k + 1) > r (the pigeonhole principle; Norouzi, Punjani and Fleet,
"Fast search in Hamming space with multi-index hashing", 2012). So pairs are looked up band by band in a table indexed
by the band's value, and verified on all bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

HASH_BITS = 128
_MAX_BAND_BITS = 20  # a table of 2^20 starts stays within a core's cache
CHUNK_PAIRS = 1 << 20  # candidate pairs compared at once: about 60 MB
CROWD = 256
"""Each hash is compared with at most so many others that share a band's value."""
_FEW = 1 << 10
"""Up to so many pictures are all compared with one another."""
COLOUR_PER_BIT = 4
"""Of 2, 4, 8 and 16, and of powers and logarithms, what loses least on any of six sets of look-alike pictures."""
INVERSE_TURN = (0, 1, 2, 3, 4, 5, 7, 6)
_NONE = np.iinfo(np.int64).max

Array = np.ndarray[Any, np.dtype[Any]]


def find_near_pairs(hashes: Array, radius: int, most: int, colours: Array | None = None) -> Array:
    """Pairs of pictures whose hashes are alike, as they are or with one of them turned: (P, 3) int64 rows i, j, turn.

    `hashes` is (N, T, 16) uint8, T at most 7: 128 bits of each picture as it is and in the orientations
    `near_features.TURNS[1:T]`. A row says that j, turned by `TURNS[turn]`, lies within `radius` (0..127) bits of i,
    and i < j; of each j the nearest `most` are kept, earlier i first. With `colours` (N, C) uint8, `COLOUR_PER_BIT` by
    which two differ, in all, count like a bit in what is nearest: so the true copy is found among many pictures of one
    layout. No pair within the radius is missed unless there are more than `_FEW` pictures, more than `CROWD` of which
    share the value of a band; time and memory stay bounded where many do.
    """
    assert hashes.ndim == 3 and hashes.shape[2] * 8 == HASH_BITS, "hashes must be (N, T, 16) uint8"
    assert 0 <= radius < HASH_BITS
    num, turns = hashes.shape[:2]
    best = np.full((num, most), _NONE, dtype=np.int64)  # distance, i and turn in one number: smaller is better
    if num > 1 and most > 0:
        channels = [] if colours is None else list(np.ascontiguousarray(colours.T, dtype=np.int16))
        # of a crowd, those of like colours are neighbours
        order = np.arange(num) if colours is None else np.argsort(colours.sum(axis=1, dtype=np.int16), kind="stable")
        plain = _words(hashes, 0, order)
        for turn in range(turns):
            for i, j, distance in _near_pairs(plain, _words(hashes, turn, order) if turn else None, radius):
                apart = np.flatnonzero(i != j)
                i, j, distance = order[i[apart]], order[j[apart]], distance[apart].astype(np.int64)
                if channels:
                    distance += sum(np.abs(channel[i] - channel[j]) for channel in channels) // COLOUR_PER_BIT
                _keep_best(best, i, j, distance, turn)
    later, place = np.nonzero(best < _NONE)
    keys = best[later, place]
    return np.stack([_earlier(keys), later, keys & 7], axis=1)


def _words(hashes: Array, turn: int, order: Array) -> Array:
    """(N, 2) uint64: the hashes of one orientation, of the pictures in an order (N,)."""
    return np.ascontiguousarray(hashes[order, turn], dtype=np.uint8).view(np.uint64)


def _keep_best(best: Array, i: Array, j: Array, distance: Array, turn: int) -> None:
    """Enter pairs, j turned by `turn` being like i, into the table of the best of each later picture, in place."""
    turns = np.where(i < j, turn, INVERSE_TURN[turn])
    earlier, later = np.minimum(i, j), np.maximum(i, j)
    keys = (distance << 40) | (earlier << 3) | turns
    hopeful = keys < best[later, -1]
    later, keys = later[hopeful], keys[hopeful]
    order = np.lexsort((keys, later))
    # a picture that is alike when turned, as a disc, would stand there once for each turn
    order = order[np.sort(np.unique((later << 32 | _earlier(keys))[order], return_index=True)[1])]
    later, keys = later[order], keys[order]
    rows, start, count = np.unique(later, return_index=True, return_counts=True)
    rank = np.arange(len(keys)) - np.repeat(start, count)
    most = best.shape[1]
    table = np.full((len(rows), 2 * most), _NONE, dtype=np.int64)
    table[:, :most] = best[rows]
    kept = rank < most
    table[np.repeat(np.arange(len(rows)), count)[kept], most + rank[kept]] = keys[kept]
    table.sort(axis=1)
    order = np.argsort(_earlier(table), axis=1, kind="stable")
    by_picture = np.take_along_axis(table, order, axis=1)
    by_picture[:, 1:][_earlier(by_picture[:, 1:]) == _earlier(by_picture[:, :-1])] = _NONE  # another band, another turn
    by_picture.sort(axis=1)
    best[rows] = by_picture[:, :most]


def _earlier(keys: Array) -> Array:
    """The earlier picture of each key of the table."""
    return (keys >> 3) & 0xFFFFFFFF


@dataclass(frozen=True)
class _Band:
    bits: Array  # (B,) positions of its bits among the 128
    masks: Array  # (M,) uint32: which differences of its value are allowed, 0 first


@lru_cache(maxsize=4)
def _plan_bands(num: int, radius: int) -> tuple[_Band, ...]:
    """The bands for which the search over `num` hashes is cheapest, by expected table look-ups and candidates."""
    best: tuple[float, list[int]] | None = None
    for allowed in range(4):
        num_bands = -(-(radius + 1) // (allowed + 1))
        if num_bands > HASH_BITS // 2:
            continue
        spare = num_bands * (allowed + 1) - (radius + 1)  # bands that may allow one difference less
        budget = [allowed] * (num_bands - spare) + [allowed - 1] * spare
        bits = min(HASH_BITS // num_bands, _MAX_BAND_BITS)
        num_masks = sum(math.comb(bits, t) for most in budget for t in range(most + 1))
        cost = num_masks * (1 + num / 2**bits)
        if best is None or cost < best[0]:
            best = cost, budget
    assert best is not None
    budget = best[1]
    # bits are dealt in turn: neighbouring bits of a hash correlate, and would make a band's values uneven
    return tuple(
        _Band(bits, _masks(len(bits), t))
        for t, bits in ((t, np.arange(k, HASH_BITS, len(budget))[:_MAX_BAND_BITS]) for k, t in enumerate(budget))
    )


def _masks(bits: int, allowed: int) -> Array:
    sets = (c for t in range(allowed + 1) for c in itertools.combinations(range(bits), t))
    return np.array([sum(1 << b for b in c) for c in sets], dtype=np.uint32)


def _near_pairs(index: Array, queries: Array | None, radius: int) -> Iterator[tuple[Array, Array, Array]]:
    """Pairs within the radius: positions in `index` (D, 2) and in `queries` (Q, 2), and the bits that differ.

    In chunks, with repetitions. Without `queries`: pairs of different positions in `index`, each in one of its two
    orders.
    """
    if len(index) <= _FEW:
        yield from _near_pairs_of_few(index, queries, radius)
        return
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
            high = np.minimum(high, low + CROWD)
            for i, j in _expand(low, high):
                distance = _bit_count(sorted_words[i, 0] ^ asked_words[j, 0])
                distance += _bit_count(sorted_words[i, 1] ^ asked_words[j, 1])
                near = distance <= radius
                yield order[i[near]], asked_order[j[near]], distance[near]


def _near_pairs_of_few(index: Array, queries: Array | None, radius: int) -> Iterator[tuple[Array, Array, Array]]:
    """The same, by comparing all: tables take longer to make."""
    asked = index if queries is None else queries
    step = max(1, CHUNK_PAIRS // len(index))
    for start in range(0, len(asked), step):
        apart = index[:, None] ^ asked[None, start : start + step]  # (D, step, 2)
        distance = _bit_count(apart[..., 0]) + _bit_count(apart[..., 1])
        i, j = np.nonzero(distance <= radius)
        distance = distance[i, j]
        j += start
        once = i < j if queries is None else slice(None)
        yield i[once], j[once], distance[once]


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
