"""Compares two pictures closely: aligns them, and says how well their local detail and their colours agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

LOOK_PX = 192
"""Longer side of the pictures that are compared; larger ones are shrunk first."""
LEAST_AGREEMENT = 0.97
MOST_OTHER_COLOUR = 0.15
"""Limits of `is_copy`, chosen across unlike sets by leaving one out (`benchmarks/near_duplicates.py --limits`)."""
MOST_STRETCH = 1.07  # a crop by 3 % a side, put back to the old size
_STEPS = ((20, 4), (40, 3), (80, 2))  # sides in px that alignment works at, and its steps at each
_FURTHEST = 0.2  # alignment that moves an edge further, as share of the picture's side, has lost its way
_GRID = 8  # blocks a side
_SIDES_PX = (32, 96)  # of the square that is compared; less than the smaller picture has, as the other's rest is blur
_USED = 0.75
_NOISE = 8.0  # variance in grey levels: what compression leaves of detail
_FLAT = 4.0  # variance in grey levels: a block of less holds no detail
_MARKED = 8  # blocks that may differ altogether, as under a watermark: more, and another sign on one badge is a copy
_JUDGED = 0.2  # of the detail in the other blocks, from what agrees least on
_STRAYED = 0.2  # share of the pixels that may lead an alignment or a fit of light astray
_OTHER_COLOUR, _OTHER_PER_STEP = (4.0, 24.0), 3.0  # grey levels of a channel, see `_tolerance`
_GAIN, _OFFSET = (0.8, 1.25), 40.0  # how much brighter or fainter a copy may be
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's mode L


@dataclass(frozen=True)
class Comparison:
    """How two pictures compare."""

    agreement: float
    """Of local detail, 1: equal, 0: unrelated; of the fifth of it that agrees least, but for an eighth of the area."""
    other_colour: float
    """Area of other colour, as share of the area that holds detail, 0..1."""
    frame: tuple[float, float, float, float]
    """Left, top, right, bottom of the second picture in the first, as shares of the first one's width and height."""
    stretch: float = 1.0
    """How much more the one side of the second was scaled than the other, 1 or more; of two whole pictures of unlike
    aspects, beyond what makes the aspects alike: so a part is not stretched to fit, a picture in a square is."""

    @property
    def is_copy(self) -> bool:
        """Whether the two show the same, as far as they overlap."""
        alike = self.agreement >= LEAST_AGREEMENT and self.other_colour <= MOST_OTHER_COLOUR
        return alike and self.stretch <= MOST_STRETCH


def compare(first: Image.Image, second: Image.Image, frame: np.ndarray) -> Comparison:
    """Compare two RGB pictures, upright alike, where they overlap.

    `frame` (4,) float is about where the second lies in the first; it is found more exactly by least squares (Lucas and
    Kanade, 1981). Detail is what differs from the mean of its surroundings; it is compared block by block, relative to
    how much of it there is, after gain and offset of brightness.
    """
    # by the pixels that agree best, as a watermark would lead astray, else by all, as a small thing on white may need
    start = np.asarray(frame, dtype=np.float64)
    by_most = _compare_at(first, second, align(first, second, start, by_most=True))
    if by_most.is_copy:
        return by_most
    by_all = _compare_at(first, second, align(first, second, start, by_most=False))
    return max(by_most, by_all, key=lambda one: (one.is_copy, one.agreement))


def _compare_at(first: Image.Image, second: Image.Image, aligned: np.ndarray) -> Comparison:
    own, other = overlap(aligned)
    sides = [s for p, w in ((first, own), (second, other)) for s in (p.width * (w[2] - w[0]), p.height * (w[3] - w[1]))]
    side = int(np.clip(_USED * min(sides), *_SIDES_PX)) // (2 * _GRID) * (2 * _GRID)
    a, b = _cut(first, own, side), _cut(second, other, side)  # (side, side, 3)
    # a watermark leads a fit to all pixels astray, a small thing on white one to those that agree best
    lit = [relit(a, b) for relit in (_relit, _relit_by_most)]
    powers = [_detail(picture @ _LUMA, side) for picture in (b, *lit)]
    others = [_share_of_other_colour(one, b) for one in lit]
    best = int(np.argmin(others))
    details = _blocks(powers[1 + best], side // _GRID), _blocks(powers[0], side // _GRID)
    power = np.maximum((details[0] ** 2).mean(axis=1), (details[1] ** 2).mean(axis=1))
    filled = max(float((power > _FLAT).mean()), 1 / _GRID**2)
    other_colour = min(1.0, others[best] / filled)
    agreement = _agreement(*details, power)
    left, top, right, bottom = aligned.tolist()
    return Comparison(agreement, other_colour, (left, top, right, bottom), _stretch(first, second, aligned))


def _stretch(first: Image.Image, second: Image.Image, frame: np.ndarray) -> float:
    """See `Comparison.stretch`."""
    shares = (frame[2] - frame[0]) / (frame[3] - frame[1])
    aspects = (first.width / first.height) / (second.width / second.height)
    return float(np.exp(min(abs(np.log(shares)), abs(np.log(shares * aspects)))))


def _agreement(a: np.ndarray, b: np.ndarray, power: np.ndarray) -> float:
    """Mean agreement of (64, p) details, weighted by their amplitude, in the blocks that `_MARKED` and `_JUDGED` name.

    Pictures of one layout agree in the outlines that they share, so what agrees best says little.
    """
    agrees = (2 * (a * b).mean(axis=1) + _NOISE) / ((a**2).mean(axis=1) + (b**2).mean(axis=1) + _NOISE)
    weight = np.sqrt(power) / (np.sqrt(power) + np.sqrt(_NOISE))
    share = weight / max(float(weight.sum()), 1e-6)
    order = np.argsort(agrees, kind="stable")[_MARKED:]
    agrees, share = agrees[order], share[order]
    judged = np.cumsum(share) - share <= _JUDGED
    total = float(share[judged].sum())
    return float((agrees * share)[judged].sum()) / total if total else 1.0  # areas of one colour


def _relit(a: np.ndarray, b: np.ndarray, kept: np.ndarray | slice = slice(None)) -> np.ndarray:
    """`a` (s, s, 3) as bright and as rich in contrast as `b`, within limits, by the `kept` of their s * s pixels."""
    x, y = (a @ _LUMA).ravel()[kept], (b @ _LUMA).ravel()[kept]
    spread = float(x.var())
    gain = float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 1e-6 else 1.0
    gain = float(np.clip(gain, *_GAIN))
    offset = float(np.clip(y.mean() - gain * x.mean(), -_OFFSET, _OFFSET))
    relit: np.ndarray = gain * a + np.float32(offset)
    return relit


def _relit_by_most(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same by the four fifths of the pixels whose difference is nearest to the usual one."""
    apart = ((b - a) @ _LUMA).ravel()
    return _relit(a, b, _smallest(np.abs(apart - np.median(apart))))


def _smallest(values: np.ndarray) -> np.ndarray:
    """Which of (P,) values are not among the largest fifth, (P,) bool."""
    place = int((1 - _STRAYED) * (len(values) - 1))
    kept: np.ndarray = values <= np.partition(values, place)[place]
    return kept


def _share_of_other_colour(a: np.ndarray, b: np.ndarray) -> float:
    """Share of 16 x 16 blocks of two pictures (s, s, 3) whose mean colours differ by more than the tolerance."""
    step = len(a) // (2 * _GRID)
    apart = (a - b).reshape(2 * _GRID, step, 2 * _GRID, step, 3).mean(axis=(1, 3))
    return float((np.abs(apart).max(axis=2) > _tolerance(apart)).mean())


def _tolerance(apart: np.ndarray) -> float:
    """How far colours of copies may be `apart` (h, w, 3), in grey levels of the channel that differs most.

    What compression and scaling change differs from block to block, so it grows with the usual step between neighbours;
    where little does, as in a drawing, another colour shows in a few grey levels.
    """
    steps = [np.abs(np.diff(apart, axis=axis)).max(axis=2).ravel() for axis in (0, 1)]
    low, high = _OTHER_COLOUR
    return float(min(high, low + _OTHER_PER_STEP * np.median(np.concatenate(steps))))


def _detail(grey: np.ndarray, side: int) -> np.ndarray:
    """What differs from its surroundings, a twelfth of the picture wide, without the noise of single pixels."""
    few, many = _mean_of(side, 3), _mean_of(side, side // 12 * 2 + 1)
    detail: np.ndarray = few @ grey @ few.T - many @ grey @ many.T
    return detail


@lru_cache(maxsize=64)
def _mean_of(side: int, num: int) -> np.ndarray:
    """(side, side) float32: each row averages an odd `num` of samples around its own; edges go on beyond."""
    mean = np.zeros((side, side), dtype=np.float32)
    for apart in range(-(num // 2), num // 2 + 1):
        mean[np.arange(side), np.clip(np.arange(side) + apart, 0, side - 1)] += 1
    return mean / num


def _blocks(picture: np.ndarray, step: int) -> np.ndarray:
    """(64, step * step): the blocks of a square picture."""
    return picture.reshape(_GRID, step, _GRID, step).transpose(0, 2, 1, 3).reshape(_GRID**2, -1)


def overlap(frame: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The window of the first picture, and that of the second, that show the same; `frame` as in `Comparison`."""
    corner, extent = frame[:2], frame[2:] - frame[:2]
    low, high = np.maximum(0, corner), np.minimum(1, frame[2:])
    own = np.concatenate([low, high])
    other = np.clip(np.concatenate([(low - corner) / extent, (high - corner) / extent]), 0, 1)
    return tuple(own.tolist()), tuple(other.tolist())


def align(first: Image.Image, second: Image.Image, frame: np.ndarray, *, by_most: bool) -> np.ndarray:
    """The frame (4,) of the second picture in the first, starting from `frame`; that one if nothing better is found.

    With `by_most`, the fifth of the pixels that agree least counts for nothing.
    """
    greys = [picture.convert("L").convert("F") for picture in (first, second)]
    found = frame.copy()
    for side, steps in _STEPS:
        for _ in range(steps):
            own, other = overlap(found)
            if min(own[2] - own[0], own[3] - own[1]) < 0.3 * min(1, *(frame[2:] - frame[:2])):
                return frame
            move = _step(_cut(greys[0], own, side), _cut(greys[1], other, side), own, other, by_most)
            found = found + np.clip(move, -0.05, 0.05)
            if np.abs(move).max() < 0.1 / side:
                break
        if np.abs(found - frame).max() > _FURTHEST:
            return frame
    return found


def _step(a: np.ndarray, b: np.ndarray, own: tuple[float, ...], other: tuple[float, ...], by_most: bool) -> np.ndarray:
    """(4,): how far each edge of the frame has to move, by one step of Gauss and Newton; gain and offset are free.

    `a`, `b` (s, s) float32 show the windows `own` and `other`.
    """
    side = len(a)
    down, right = np.gradient(a)
    slope = (np.abs(down) + np.abs(right)).ravel()
    right *= side / (own[2] - own[0])
    down *= side / (own[3] - own[1])
    middle = (np.arange(side, dtype=np.float32) + 0.5) / side
    u = np.float32(other[0]) + middle * np.float32(other[2] - other[0])
    v = (np.float32(other[1]) + middle * np.float32(other[3] - other[1]))[:, None]
    slopes = np.stack([right * (1 - u), down * (1 - v), right * u, down * v, a, np.ones_like(a)]).reshape(6, -1)
    apart = (b - a).ravel()
    if by_most:  # what no small move explains is left out
        kept = _smallest(np.abs(apart - np.median(apart)) / (slope + np.float32(_FLAT)))
        slopes, apart = slopes[:, kept], apart[kept]
    normal = (slopes @ slopes.T).astype(np.float64)
    normal[np.diag_indices(6)] = normal[np.diag_indices(6)] * 1.001 + 1e-3
    move: np.ndarray = np.linalg.solve(normal, slopes @ apart)[:4]
    return move


def _cut(picture: Image.Image, window: tuple[float, ...], side: int) -> np.ndarray:
    """A window of a picture, in shares of its sides, as float32 (side, side[, 3])."""
    left, top, right, bottom = (
        share * full for share, full in zip(window, (picture.width, picture.height) * 2, strict=True)
    )
    box = (left, top, max(right, left + 1e-3), max(bottom, top + 1e-3))
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box), dtype=np.float32)
