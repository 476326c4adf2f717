"""Rows of pictures with the evidence under each: the most certain, the most doubtful, and random ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cleaner.report.markup import Child, Safe, breakable, tag
from cleaner.report.thumbnails import Thumbnails

PER_ROW = 8
"""Pictures of a kind: one line on a wide screen."""
_SEED = 0


@dataclass(frozen=True)
class Evidence:
    """What stands under a picture."""

    headline: Child
    lines: list[Child]
    badge: str = ""
    """kept or dropped, where a gallery shows both."""


Describe = Callable[[Any], Evidence]
"""A row of the manifest (named tuple) to what is said of it."""


def pick_rows(
    rows: pd.DataFrame, certainty: np.ndarray | None, num: int = PER_ROW, *, seed: int = _SEED
) -> list[tuple[str, pd.DataFrame]]:
    """(heading, rows) groups: most certain, most doubtful, random, without showing an image twice.

    `certainty` (N,) float: high where the tool is sure; None: only random ones.
    """
    if rows.empty:
        return []
    groups: list[tuple[str, pd.DataFrame]] = []
    left = np.ones(len(rows), bool)
    if certainty is not None:
        order = np.argsort(-certainty, kind="stable")
        for heading, chosen in (("Most certain", order[:num]), ("Most doubtful", order[::-1][:num])):
            chosen = chosen[left[chosen]]
            left[chosen] = False
            groups.append((heading, rows.iloc[chosen]))
    others = np.flatnonzero(left)
    chosen = np.random.default_rng(seed).choice(others, min(num, len(others)), replace=False)
    groups.append(("Random" if certainty is not None else "", rows.iloc[chosen]))
    return [(heading, chosen_rows) for heading, chosen_rows in groups if len(chosen_rows)]


def gallery(
    title: str, note: Child, groups: list[tuple[str, pd.DataFrame]], describe: Describe, thumbnails: Thumbnails
) -> Safe | None:
    """A gallery, or None if there is nothing to show."""
    if not groups:
        return None
    body = [
        tag("div", tag("h4", heading) if heading else None, strip(rows, describe, thumbnails), cls="group")
        for heading, rows in groups
    ]
    return tag("div", tag("h3", title), tag("p", note, cls="note") if note else None, *body, cls="gallery")


def strip(rows: pd.DataFrame, describe: Describe, thumbnails: Thumbnails) -> Safe:
    """The tiles of some rows."""
    return tag("div", [tile(row, describe(row), thumbnails) for row in named_rows(rows)], cls="strip")


def named_rows(rows: pd.DataFrame) -> list[Any]:
    """Rows as tuples with a name for each column."""
    return list(rows.itertuples(index=False))


def tile(row: Any, evidence: Evidence, thumbnails: Thumbnails) -> Safe:
    """One picture with what is said of it; a click enlarges it."""
    picture = thumbnails.picture(row.file_name, row.image_id, f"image of class {row.label}")
    button = tag("button", picture, type="button", cls="zoom", aria_label=f"enlarge {row.file_name}")
    badge = tag("i", evidence.badge, cls=f"badge {evidence.badge}") if evidence.badge else None
    return tag(
        "figure",
        button,
        badge,
        tag(
            "figcaption",
            tag("b", _breakable(evidence.headline)),
            [tag("span", line) for line in evidence.lines],
            tag("span", row.file_name, cls="file", title=row.file_name),
        ),
        cls="tile",
    )


def _breakable(child: Child) -> Child:
    if isinstance(child, Safe) or not isinstance(child, str | list):
        return child
    return breakable(child) if isinstance(child, str) else [_breakable(c) for c in child]


def fate(row: Any) -> str:
    """What became of a row, as a badge."""
    return "kept" if row.keep else "dropped"
