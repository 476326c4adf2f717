"""The quality of a scanned set's images: each judged by fixed limits and against the set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cleaner.errors import UsageError
from cleaner.scoring.image_quality import (
    COMMON_SHARE,
    LEAST_SET,
    compute_aspect,
    compute_size_ratio,
    find_issues,
    is_common,
    name_issues,
)

_MEASURES = ("sharpness", "brightness_low", "brightness_high", "pixel_std", "information", "aspect", "size_ratio")


@dataclass(frozen=True)
class SetQuality:
    """What was found about the quality of a set's images."""

    issues: dict[str, np.ndarray]
    """The rows (N,) bool with each of config.QUALITY_ISSUES."""
    beyond: dict[str, int]
    """Of issues that are a property of the set: the images beyond the limit, whether or not they stand out of it."""
    num_images: int
    """Readable ones."""

    @property
    def warnings(self) -> list[str]:
        """A word on each issue that is a property of the set, if that is large enough to have any."""
        if self.num_images < LEAST_SET:
            return []
        return [
            f"{name.replace('_', ' ')}: {self._about(name)}, which is what this set is like; "
            f"{int(self.issues[name].sum()):,} that stand out of it as well are flagged"
            for name in self.beyond
        ]

    def require_rare(self, drop: Sequence[str]) -> None:
        """Raise UsageError if an issue to `drop` images for is a property of the set."""
        for name in drop:
            if name in self.beyond:
                raise UsageError(
                    f"--drop {name}: {self._about(name)}",
                    expected=f"at most {COMMON_SHARE:.0%} of the set: more is what the set is like",
                    next_step=f"scan without it and look at the images (column quality), or add --yes to drop the "
                    f"{int(self.issues[name].sum()):,} that are flagged",
                )

    def _about(self, name: str) -> str:
        num = self.beyond[name]
        return f"{num:,} of {self.num_images:,} images ({num / self.num_images:.0%}) are beyond the limit"


def judge_quality(manifest: pd.DataFrame) -> SetQuality:
    """Add `aspect`, `size_ratio` and `quality` in place, from the columns that scan measured.

    Sizes are compared with the median of all readable images, of every split.
    """
    width, height = manifest["width"].to_numpy(), manifest["height"].to_numpy()
    readable = manifest["readable"].to_numpy()
    manifest["aspect"] = np.where(readable, compute_aspect(width, height), np.float32("nan"))
    manifest["size_ratio"] = compute_size_ratio(width, height, readable)
    measures = {name: manifest[name].to_numpy() for name in _MEASURES}
    issues, num_images = find_issues(**measures, in_set=True), int(readable.sum())
    manifest["quality"] = pd.Categorical(name_issues(issues))
    beyond = {name: int(rows.sum()) for name, rows in find_issues(**measures, in_set=False).items()}
    return SetQuality(issues, {name: num for name, num in beyond.items() if is_common(num, num_images)}, num_images)
