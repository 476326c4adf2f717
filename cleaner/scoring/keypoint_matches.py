"""Finds pictures that show the same thing in another frame, such as crops, among the keypoints of all pictures."""

from __future__ import annotations

import itertools
import math

import numpy as np

from cleaner.dataset.near_features import PLACE_UNIT

LEAST_AGREEING = 3
"""Keypoints that must agree on where the one picture lies in the other."""
_FEW_AGREEING, _FEW_KEYPOINTS, _FEW_BITS = 2, 24, 2.5
"""Fewer do where one of the two has so few keypoints at all, if their codes differ in so few bits on average."""
_MOST_SHARING = 64  # keypoints with one word; a word of more tells nothing, as a text page's do
_LEAST_BITS, _MOST_BITS, _SPARE_BITS = 20, 32, 4
_CHUNK = 1 << 18  # keypoints looked up at once: about 50 MB
_SCALE_OFF = 0.35  # octaves, and share of the picture's size: how far keypoints that agree may be apart
_PLACE_OFF = 0.06
_LARGEST_SCALE = 2.0  # a part that shows less than half of each side is not looked for


def match_keypoints(keypoints: np.ndarray, owner: np.ndarray, aspect: np.ndarray, most: int) -> np.ndarray:
    """Pairs of pictures that share `LEAST_AGREEING` keypoints, or enough, in one arrangement, the best `most` of each.

    `keypoints` (M,) as `find_keypoints` gives them, `owner` (M,) int rising: whose they are, `aspect` (N,) width over
    height. Returns rows (P, 6) float64: i < j, and the frame of picture j in picture i, left, top, right and bottom as
    shares of i's width and height (it may reach beyond 0..1). Words that more than 64 keypoints share are passed over,
    so time grows little faster than M.
    """
    left, right = _hits(keypoints, owner)
    size = np.stack([np.sqrt(aspect), 1 / np.sqrt(aspect)], axis=1)  # (N, 2), in roots of the area
    scales = keypoints["place"][:, 2]
    ratio = scales[left] / np.maximum(scales[right], 1)
    close = (ratio < _LARGEST_SCALE) & (ratio > 1 / _LARGEST_SCALE)
    left, right, ratio = left[close], right[close], ratio[close]
    pair = owner[left].astype(np.int64) * len(aspect) + owner[right]
    order = np.argsort(pair, kind="stable")
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(pair[order])) + 1, [len(order)]])
    counts = np.bincount(owner, minlength=len(aspect))
    found = []
    for group in np.flatnonzero(np.diff(bounds) >= _FEW_AGREEING):
        hits = order[bounds[group] : bounds[group + 1]]
        i, j = int(owner[left[hits[0]]]), int(owner[right[hits[0]]])
        ours, theirs = (keypoints[side[hits]] for side in (left, right))
        few = min(counts[i], counts[j]) <= _FEW_KEYPOINTS
        if len(hits) < LEAST_AGREEING and not few:
            continue
        num, agreeing = _agreeing(ours, theirs, ratio[hits], size[j] / 2)
        if num >= LEAST_AGREEING or (num == _FEW_AGREEING and few and _bits_apart(ours, theirs, agreeing) <= _FEW_BITS):
            scale, offset = _fit(ours, theirs, ratio[hits], agreeing)
            frame = np.concatenate([offset / size[i], (offset + scale * size[j]) / size[i]])
            found.append((num, i, j, *frame))
    return _best(found, len(aspect), most)


def _best(found: list[tuple[float, ...]], num: int, most: int) -> np.ndarray:
    """The pairs, those with most agreeing keypoints first, of which each picture has no more than `most`."""
    taken = np.zeros(num, dtype=np.int64)
    kept = []
    for _, i, j, *frame in sorted(found, key=lambda f: (-f[0], f[1], f[2])):
        if max(taken[int(i)], taken[int(j)]) < most:
            taken[[int(i), int(j)]] += 1
            kept.append((i, j, *frame))
    return np.array(kept, dtype=np.float64).reshape(-1, 6)


def _hits(keypoints: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of two pictures, that of the earlier one first, whose words differ in weak bits at most."""
    num = len(keypoints)
    bits = int(np.clip(math.ceil(math.log2(max(num, 2))) + _SPARE_BITS, _LEAST_BITS, _MOST_BITS))
    words = keypoints["code"] >> np.uint32(_MOST_BITS - bits)
    order = np.argsort(words, kind="stable")
    ordered = words[order]
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, num, _CHUNK):
        own = order[start : start + _CHUNK]  # in order of their words: neighbours look up neighbouring places
        weak = keypoints["weak"][own]
        flips = np.where(
            weak < bits, np.uint32(1) << np.maximum(bits - 1 - weak.astype(np.int8), 0).astype(np.uint32), 0
        )
        for chosen in itertools.product((False, True), repeat=weak.shape[1]):
            flip = flips[:, chosen].sum(axis=1, dtype=np.uint32)
            some = np.flatnonzero((flip > 0) | (not any(chosen)))  # a bit beyond the word is none to flip
            first, second = _equal_words(words[own[some]] ^ flip[some], own[some], ordered, order)
            first, second = np.minimum(first, second), np.maximum(first, second)  # owners rise with positions
            apart = owner[first] != owner[second]
            found.append(np.unique(first[apart] * num + second[apart]))
    pairs = np.unique(np.concatenate(found))
    return pairs // max(num, 1), pairs % max(num, 1)


def _equal_words(
    asked: np.ndarray, own: np.ndarray, ordered: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints `own` and those that have the word that each of them asks for, unless too many have it.

    `ordered` are the words of all, rising, and `order` whose they are.
    """
    low = np.searchsorted(ordered, asked, side="left")
    low[low == len(ordered)] = 0  # beyond the last word: no match either
    there = np.flatnonzero(ordered[low] == asked)
    low = low[there]
    count = np.searchsorted(ordered, asked[there], side="right") - low
    useful = count <= _MOST_SHARING
    there, low, count = there[useful], low[useful], count[useful]
    other = order[np.repeat(low - np.cumsum(count) + count, count) + np.arange(count.sum())]
    return np.repeat(own[there], count), other


def _agreeing(left: np.ndarray, right: np.ndarray, ratio: np.ndarray, middle: np.ndarray) -> tuple[int, np.ndarray]:
    """How many of K hits agree, one keypoint that matches many counting once, and which, (K,) bool.

    `left`, `right` (K,) `KEYPOINT`, `ratio` (K,) of scales; `middle` (2,) is the right picture's middle.
    """
    log_ratio = np.log2(ratio)
    ours, theirs = _places(left), _places(right)
    centre = ours + ratio[:, None] * (middle - theirs)  # where each hit puts the middle of the right picture
    near = np.abs(centre[:, None] - centre[None]).max(axis=2) <= _PLACE_OFF * 2 * np.maximum(1, ratio)
    near &= np.abs(log_ratio[:, None] - log_ratio[None]) <= _SCALE_OFF
    agreeing = near[int(near.sum(axis=1).argmax())]
    return min(len(np.unique(places[agreeing], axis=0)) for places in (ours, theirs)), agreeing


def _places(points: np.ndarray) -> np.ndarray:
    """(K, 2): places in roots of the picture's area."""
    places: np.ndarray = points["place"][:, :2] / PLACE_UNIT
    return places


def _bits_apart(left: np.ndarray, right: np.ndarray, agreeing: np.ndarray) -> float:
    """In how many of their 32 bits the codes of agreeing keypoints differ, on average."""
    apart = np.ascontiguousarray(left["code"][agreeing] ^ right["code"][agreeing])
    return float(np.unpackbits(apart.view(np.uint8)).sum() / len(apart))


def _fit(left: np.ndarray, right: np.ndarray, ratio: np.ndarray, agreeing: np.ndarray) -> tuple[float, np.ndarray]:
    """The scale and offset (2,) that map the right picture's places to the left's."""
    a, b = _places(left)[agreeing], _places(right)[agreeing]
    spread = ((b - b.mean(axis=0)) ** 2).sum()
    slope = ((b - b.mean(axis=0)) * (a - a.mean(axis=0))).sum() / spread if spread > 0 else 0.0
    fallback = float(np.exp2(np.median(np.log2(ratio[agreeing]))))
    scale = slope if 0.8 < slope / fallback < 1.25 else fallback
    return scale, a.mean(axis=0) - scale * b.mean(axis=0)
