"""What of a picture finds its near duplicates: hashes of all its orientations, and keypoints that survive a crop."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

HASH_BYTES = 16
NUM_HASHES = 8
"""Rows of a picture: hashes of itself and of the orientations `TURNS[1:7]`, and its colours."""
NUM_TURNS = 7
NUM_COLOURS = 6
_HASH_PX = 32

T = Image.Transpose
TURNS: tuple[Image.Transpose | None, ...] = (
    None,
    T.FLIP_LEFT_RIGHT,
    T.FLIP_TOP_BOTTOM,
    T.ROTATE_180,
    T.TRANSPOSE,
    T.TRANSVERSE,
    T.ROTATE_90,
    T.ROTATE_270,
)
"""The eight orientations. All but the last two are their own inverses; the last is the inverse of the one before."""

KEYPOINT = np.dtype([("code", "<u4"), ("weak", "u1", 4), ("place", "<u2", 3)])
"""One keypoint. code: 32 bits of how its surroundings look, the coarsest first (from the high bit). weak: its four
least certain bits, as positions from the high bit. place: x, y and scale in units of the root of the picture's area,
times `PLACE_UNIT`."""
PLACE_UNIT = 16_384
MAX_KEYPOINTS = 32
_AREA_PX = 80  # root of the area of the grey picture that keypoints are found in: fewer lose crops, more cost time
_LEVELS = 2.0 ** (np.arange(8) / 2.5)  # blur in px of the scale space, five levels for two octaves
_DETECTED_SCALE = 1.2  # a blob's scale over the blur of the level where it stands out most
_LEAST_CONTRAST = 0.25  # grey levels between two levels of blur; smooth pictures and plain boards have little more
_REACH = 5.0  # half the side of what a keypoint describes, in scales
_LEAST_REACH = 0.6  # share of it that has to lie within the picture
_GRID = 8
_NUM_BITS = 32


def grey_thumbnail(image: Image.Image) -> Image.Image:
    """A 32 x 32 picture of mode L, aspect not kept, of an RGB image."""
    return _reduced(image).convert("L").resize((_HASH_PX, _HASH_PX), Image.Resampling.BILINEAR)


def _reduced(image: Image.Image) -> Image.Image:
    """The image, each side divided by the largest whole number that leaves it at least 64 px."""
    factor = (max(1, image.width // (2 * _HASH_PX)), max(1, image.height // (2 * _HASH_PX)))
    return image.reduce(factor) if factor != (1, 1) else image


def _colours(image: Image.Image) -> np.ndarray:
    """(6,) uint8: mean and twice the standard deviation of red, green and blue; the same however it is turned."""
    square = image.convert("RGB").resize((_HASH_PX, _HASH_PX), Image.Resampling.BILINEAR)
    pixels = np.asarray(square, dtype=np.float32).reshape(-1, 3)
    mean = _EVENLY @ pixels  # NumPy's mean and std take ten times as long
    spread = np.sqrt(np.maximum(_EVENLY @ pixels**2 - mean**2, 0))
    colours: np.ndarray = np.rint(np.concatenate([mean, 2 * spread])).astype(np.uint8)
    return colours


def _cosines(first: int, num: int, size: int) -> np.ndarray:
    """(num, size) float32: cosine waves over `size` samples, from the wave of `first` half periods on."""
    wave, sample = np.arange(first, first + num)[:, None], np.arange(size)[None, :]
    return np.cos(np.pi * wave * (2 * sample + 1) / (2 * size)).astype(np.float32)


def _averages(num: int, size: int) -> np.ndarray:
    """(num, size) float32: weights that average `size` samples to `num` boxes of equal width."""
    edges = np.arange(num + 1) * (size / num)
    sample = np.arange(size)
    shared = np.minimum(edges[1:, None], sample + 1) - np.maximum(edges[:-1, None], sample)
    weights: np.ndarray = (np.clip(shared, 0, None) * (num / size)).astype(np.float32)
    return weights


_WAVES = _cosines(1, 8, _HASH_PX)
_EVENLY = np.full(_HASH_PX**2, 1 / _HASH_PX**2, dtype=np.float32)
_ROWS, _COLUMNS = _averages(8, _HASH_PX), _averages(9, _HASH_PX)


def perceptual_hashes(image: Image.Image) -> np.ndarray:
    """(8, 16) uint8: hashes of 128 bits of how an RGB image looks, as it is and in the orientations `TURNS[1:7]`.

    The last row holds its colours, which hashes do not see: mean, then twice the standard deviation, of each channel.

    64 bits: whether each of the 8 x 8 lowest waves of its cosine transform is above their median (Zauner, 2010);
    64 bits: whether it brightens from left to right between neighbours on an 8 x 9 grid. The hash of a picture that
    is turned by `TURNS[7]` is found from the other side.
    """
    small = _reduced(image)
    thumb = np.asarray(grey_thumbnail(small), dtype=np.float32)
    turned = [thumb, thumb[:, ::-1], thumb[::-1], thumb[::-1, ::-1], thumb.T, thumb.T[::-1, ::-1], thumb.T[::-1]]
    grey = np.stack(turned)  # (7, 32, 32), as `TURNS` has them
    waves = (_WAVES @ grey @ _WAVES.T).reshape(NUM_TURNS, -1)
    middle = np.sort(waves, axis=1)[:, 31:33].sum(axis=1, keepdims=True) / 2  # np.median takes ten times as long
    levels = np.rint(_ROWS @ grey @ _COLUMNS.T)  # (7, 8, 9); rounded, so that flat areas have no steps
    steps = levels[:, :, 1:] > levels[:, :, :-1]
    bits = np.concatenate([waves > middle, steps.reshape(NUM_TURNS, -1)], axis=1)
    rows = np.zeros((NUM_HASHES, HASH_BYTES), dtype=np.uint8)
    rows[:NUM_TURNS] = np.packbits(bits, axis=1)
    rows[NUM_TURNS, :NUM_COLOURS] = _colours(small)
    return rows


def find_keypoints(grey: Image.Image) -> np.ndarray:
    """(K,) `KEYPOINT`, K at most 32, the clearest first: blobs of a picture of mode L, described by their surroundings.

    Blobs are extremes of differences of Gaussians over place and scale (Lowe, 2004), described by the signs of the
    lowest waves of their surroundings' cosine transform: so a picture and a part of it share most keypoints of the
    part, at other places and scales.
    """
    factor = _AREA_PX / (grey.width * grey.height) ** 0.5
    size = (max(_GRID, round(grey.width * factor)), max(_GRID, round(grey.height * factor)))
    small = np.asarray(grey.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    space = _scale_space(small)
    steps = space[1:] - space[:-1]
    level, y, x = _blobs(steps)
    if len(level) == 0:
        return np.empty(0, dtype=KEYPOINT)
    x, y, scale = _refine(steps, level, y, x)
    waves = _describe(space, level, x, y, scale)
    found = np.zeros(len(level), dtype=KEYPOINT)
    found["code"] = (waves > 0) @ _BIT_VALUES
    found["weak"] = np.argsort(np.abs(waves), axis=1, kind="stable")[:, :4]
    unit = (small.shape[0] * small.shape[1]) ** 0.5
    found["place"] = np.clip(np.rint(np.stack([x, y, scale], axis=1) * (PLACE_UNIT / unit)), 0, 65_535)
    return found


def _scale_space(grey: np.ndarray) -> np.ndarray:
    """(8, h, w) float32: the picture blurred to each of `_LEVELS`."""
    height, width = grey.shape
    space = np.empty((len(_LEVELS), height, width), dtype=np.float32)
    before = grey
    for number, level in enumerate(space):
        # matrices, as BLAS takes half the time of filters at this size
        np.matmul(_blur(height, number) @ before, _blur(width, number).T, out=level)
        before = level
    return space


@lru_cache(maxsize=512)
def _blur(size: int, number: int) -> np.ndarray:
    """(size, size) float32: the Gaussian blur that leads to a level from the one before it; rows sum to 1."""
    sigma = (_LEVELS[number] ** 2 - (_LEVELS[number - 1] ** 2 if number else 0)) ** 0.5
    away = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-((away / sigma) ** 2) / 2) * (np.abs(away) <= 4 * sigma)
    blur: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return blur


def _blobs(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level, y and x, (K,) int64 each, of the clearest blobs whose surroundings lie mostly within the picture.

    `steps` (7, h, w) float32 are the differences of neighbouring levels.
    """
    levels, height, width = steps.shape
    contrast = np.abs(steps).reshape(levels, -1)
    highest = np.maximum(contrast[1:-1], np.maximum(contrast[:-2], contrast[2:]))
    # rows lie one after another, as long arrays take a third of the time: neighbours beyond the edges are wrong there
    for apart in (1, width):
        highest = np.maximum(highest[:, apart:-apart], np.maximum(highest[:, : -2 * apart], highest[:, 2 * apart :]))
    inner = contrast[1:-1, width + 1 : -width - 1]
    level, place = np.divmod(np.flatnonzero((inner >= highest) & (inner > _LEAST_CONTRAST)), inner.shape[1])
    clear = inner[level, place]
    level, (y, x) = level + 1, np.divmod(place + width + 1, width)
    margin = _MARGINS[level]
    inside = (np.minimum(x, width - 1 - x) >= margin) & (np.minimum(y, height - 1 - y) >= margin)
    kept = np.flatnonzero(inside)
    kept = kept[np.argsort(-clear[kept], kind="stable")[:MAX_KEYPOINTS]]
    return level[kept], y[kept], x[kept]


def _refine(
    steps: np.ndarray, level: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and scale of blobs in px, (K,) float each: the vertices of parabolas through each and its neighbours."""
    _, height, width = steps.shape
    at = (level * height + y) * width + x
    flat = steps.ravel()
    middle = flat[at]

    def vertex(apart: int) -> np.ndarray:
        before, after = flat[at - apart], flat[at + apart]
        bend = before - 2 * middle + after
        bend = np.where(np.abs(bend) < 1e-6, 1e-6, bend)
        return np.asarray(np.clip((before - after) / (2 * bend), -0.5, 0.5))

    rise = vertex(height * width)
    return x + vertex(1), y + vertex(width), _DETECTED_SCALE * 2.0 ** ((level + rise) / 2.5)


def _lowest_waves() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the 32 lowest waves of an 8 x 8 patch, without the constant one, the lowest first."""
    waves = sorted(
        ((u, v) for u in range(_GRID) for v in range(_GRID) if u + v), key=lambda w: (w[0] + w[1], max(w), w)
    )
    rows, columns = zip(*waves[:_NUM_BITS], strict=True)
    return np.array(rows), np.array(columns)


_BIT_VALUES = np.uint32(1) << np.arange(_NUM_BITS - 1, -1, -1, dtype=np.uint32)
_MARGINS = _LEAST_REACH * _REACH * _DETECTED_SCALE * _LEVELS
_SAMPLED = np.linspace(-_REACH, _REACH, _GRID)
_PATCH_WAVES = _cosines(0, _GRID, _GRID)
_LOWEST = _lowest_waves()


def _describe(space: np.ndarray, level: np.ndarray, x: np.ndarray, y: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(K, 32) float32: the lowest waves of the cosine transform of 8 x 8 samples around each keypoint."""
    _, height, width = space.shape
    px = np.clip(x[:, None] + scale[:, None] * _SAMPLED, 0, width - 1.001)
    py = np.clip(y[:, None] + scale[:, None] * _SAMPLED, 0, height - 1.001)
    left, top = px.astype(np.int64), py.astype(np.int64)
    right, down = (px - left)[:, None, :], (py - top)[:, :, None]
    at = ((level * height)[:, None] + top)[:, :, None] * width + left[:, None, :]  # (K, 8, 8)
    flat = space.ravel()
    upper = flat[at] * (1 - right) + flat[at + 1] * right
    at += width
    lower = flat[at] * (1 - right) + flat[at + 1] * right
    patches = (upper * (1 - down) + lower * down).astype(np.float32)
    described: np.ndarray = (_PATCH_WAVES @ patches @ _PATCH_WAVES.T)[:, *_LOWEST]
    return described
