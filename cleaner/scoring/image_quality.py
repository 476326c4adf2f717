"""Finds images of poor quality: blurry, dark, bright, low in information, of odd shape or of odd size.

Formulas, and the data on which thresholds were chosen: docs/methods.md, "Image quality".
"""

from __future__ import annotations

import numpy as np

BLURRY_BELOW = 0.24
"""Sharpness. Set on 625 tiny50 pictures at 64 px, 700 of them upscaled to 533 px (.5 % quantile of plain ones .31)
and blurred copies (at most .20), of all classes; on the tune half: plain .1 % quantile .32, blurred 99 % .22."""
DARK_BELOW = 0.32
"""99th percentile of brightness; cleanvision's."""
BRIGHT_ABOVE = 0.80
"""5th percentile of brightness. cleanvision requires 0.95, which washed-out photographs seldom reach: those altered on
tiny50's tune half are above .84, 99.9 % of plain ones below .65."""
FLAT_BELOW = 0.04
"""Standard deviation of greys, 0..0.5. Tiny50's tune half: plain images .045 and more, with a tenth of their contrast
.038 and less."""
LOW_INFORMATION_BELOW = 3.5
"""Bits; 4 of 2,100 plain images of tiny50's tune half are below."""
BLANK_BELOW = 3.0
"""The same for pictures that are dark or bright; cleanvision's limit, though for the entropy of all channels."""
ODD_ASPECT_BELOW = 0.35
"""Shorter over longer side; cleanvision's."""
ODD_SIZE_FACTOR = 3.0
"""This many times the median size, or one over that; a choice, not fitted (planted odd sizes are fourfold and more)."""
ODD_SIZE_IQRS = 3.0
"""In interquartile ranges of the log size beyond the quartiles, so that sets of varied sizes allow more."""
COMMON_SHARE = 0.1
"""A limit that more of the set than this is beyond says what kind of set it is: drawings, X-rays, night."""
STANDS_OUT_SPREADS = 3.0
"""So many spreads from the median an image stands out of such a set. On four sets of photographs, blurred until 61 to
96 % were beyond the limit, it leaves .3 to 3 %; of 12 to 30 % blurred ones among sharp ones it finds .88 to 1."""
_LEAST_SPREAD = 0.05  # a twentieth, or of a bit
LEAST_SET = 50
"""Images; of fewer, quantiles say little of what the set is like."""


def compute_aspect(width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Shorter over longer side (N,) float32, 0..1; NaN where a side (N,) int is 0."""
    short, long = np.minimum(width, height).astype(np.float64), np.maximum(width, height).astype(np.float64)
    ratio: np.ndarray = np.divide(short, long, out=np.full(len(short), np.nan), where=short > 0)
    return ratio.astype(np.float32)


def compute_size_ratio(width: np.ndarray, height: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Geometric mean of the sides (N,) over the set's median of it: (N,) float32, NaN outside `counts` (N,) bool."""
    size = np.sqrt(width.astype(np.float64) * height.astype(np.float64))
    result = np.full(len(size), np.nan, dtype=np.float32)
    if counts.any():
        result[counts] = size[counts] / np.median(size[counts])
    return result


def find_issues(
    *,
    sharpness: np.ndarray,
    brightness_low: np.ndarray,
    brightness_high: np.ndarray,
    pixel_std: np.ndarray,
    information: np.ndarray,
    aspect: np.ndarray,
    size_ratio: np.ndarray,
    in_set: bool = True,
) -> dict[str, np.ndarray]:
    """The rows (N,) bool with each of config.QUALITY_ISSUES. All arguments are (N,) float; NaN is never an issue.

    `in_set`: where more than COMMON_SHARE of the set (of 50 or more) is beyond a limit, only images that stand out of
    the set as well have the issue; otherwise all beyond the limit have it.

    A dark or bright picture necessarily has little contrast, and counts as low in information only if hardly anything
    is left. A picture low in information does not count as blurry as well: its contrast may be noise.
    """

    def is_below(values: np.ndarray, limit: float, on_scale: np.ndarray) -> np.ndarray:
        below: np.ndarray = values < limit
        num = int((~np.isnan(values)).sum())
        is_of_set = in_set and num >= LEAST_SET and is_common(int(below.sum()), num)
        return below & _stands_out(on_scale) if is_of_set else below

    pale_or_dark = (brightness_low > BRIGHT_ABOVE) | (brightness_high < DARK_BELOW)
    least = np.where(pale_or_dark, information < BLANK_BELOW, True)
    is_poor = ((information < LOW_INFORMATION_BELOW) | (pixel_std < FLAT_BELOW)) & least
    poor = is_below(information, LOW_INFORMATION_BELOW, information) | is_below(pixel_std, FLAT_BELOW, _log(pixel_std))
    return {
        "blurry": is_below(sharpness, BLURRY_BELOW, _log(sharpness)) & ~is_poor,
        "bright": is_below(-brightness_low, -BRIGHT_ABOVE, _log(1 - brightness_low)),
        "dark": is_below(brightness_high, DARK_BELOW, _log(brightness_high)),
        "low_information": poor & least,
        "odd_aspect": is_below(aspect, ODD_ASPECT_BELOW, _log(aspect)),
        "odd_size": find_odd_sizes(size_ratio),
    }


def is_common(num: int, num_images: int) -> bool:
    """Whether `num` of the images of a set are more than single ones: COMMON_SHARE of them."""
    return num > COMMON_SHARE * num_images


def _stands_out(values: np.ndarray) -> np.ndarray:
    """Which of `values` (N,) lie far below the set's: (N,) bool.

    The spread is that of the upper half (84th percentile less the median): what is wrong lies in the lower one.
    """
    middle, upper = np.nanquantile(values, (0.5, 0.8413))
    far: np.ndarray = values < middle - STANDS_OUT_SPREADS * max(upper - middle, _LEAST_SPREAD)
    return far


def _log(values: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log(np.maximum(values, 1 / 255))
    return logs


def find_odd_sizes(size_ratio: np.ndarray) -> np.ndarray:
    """Odd sizes (N,) bool: far from the median by a factor, and far outside the quartiles of the log sizes."""
    judged = size_ratio > 0
    if not judged.any():
        return np.zeros(len(size_ratio), dtype=bool)
    log_size = np.log2(np.where(judged, size_ratio, 1))
    first, third = np.quantile(log_size[judged], (0.25, 0.75))
    reach, edge = ODD_SIZE_IQRS * (third - first), np.log2(ODD_SIZE_FACTOR)
    odd: np.ndarray = judged & ((log_size < min(-edge, first - reach)) | (log_size > max(edge, third + reach)))
    return odd


def name_issues(issues: dict[str, np.ndarray]) -> np.ndarray:
    """The names of each row's issues, sorted and separated by commas, '' for none: (N,) object, one for equal ones."""
    names = sorted(issues)
    code = np.zeros(len(issues[names[0]]), dtype=np.uint8)
    for place, name in enumerate(names):
        code |= issues[name].astype(np.uint8) << np.uint8(place)
    said = [",".join(n for place, n in enumerate(names) if of >> place & 1) for of in range(1 << len(names))]
    named: np.ndarray = np.array(said, dtype=object)[code]
    return named
