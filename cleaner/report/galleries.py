"""Rows of pictures with the evidence under each: the most certain, the most doubtful, and random ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cleaner.report.thumbnails import Picture, Thumbnails

PER_ROW = 8
"""Pictures of a kind: one line on a wide screen."""
_SEED = 0


@dataclass(frozen=True)
class Evidence:
    """The caption of a picture."""

    headline: list[str]
    """A label, or two with an arrow between them."""
    lines: list[str]
    badge: str = ""
    """kept or dropped, where a gallery shows both."""


@dataclass(frozen=True)
class Tile:
    """One picture with its caption; a click enlarges it."""

    file_name: str
    alt: str
    picture: Picture
    evidence: Evidence


@dataclass(frozen=True)
class Gallery:
    """Groups of tiles, each with its heading; without groups there is nothing to show."""

    title: str
    note: str
    groups: list[tuple[str, list[Tile]]]


Describe = Callable[[Any], Evidence]
"""Makes the caption of a row of the manifest (a named tuple)."""


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


def make_gallery(
    title: str, note: str, groups: list[tuple[str, pd.DataFrame]], describe: Describe, thumbnails: Thumbnails
) -> Gallery:
    """A gallery of groups as `pick_rows` gives them."""
    return Gallery(title, note, [(heading, make_strip(rows, describe, thumbnails)) for heading, rows in groups])


def make_strip(rows: pd.DataFrame, describe: Describe, thumbnails: Thumbnails) -> list[Tile]:
    """The tiles of some rows."""
    return [make_tile(row, describe(row), thumbnails) for row in named_rows(rows)]


def named_rows(rows: pd.DataFrame) -> list[Any]:
    """Rows as tuples with a name for each column."""
    return list(rows.itertuples(index=False))


def make_tile(row: Any, evidence: Evidence, thumbnails: Thumbnails) -> Tile:
    """The tile of one row."""
    picture = thumbnails.picture(row.file_name, row.image_id)
    return Tile(row.file_name, f"image of class {row.label}", picture, evidence)


def change(given: str, other: str) -> list[str]:
    """A headline: the given label, and the other one if it differs."""
    return [given] if given == other else [given, other]


def fate(row: Any) -> str:
    """Whether a row was kept, as a badge."""
    return "kept" if row.keep else "dropped"
