"""Exact and near copies among scanned files: their groups, and how the members are related."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.files import FoundFile
from cleaner.dataset.images import UNIFORM_STD, ImageFacts
from cleaner.dataset.near_features import KEYPOINT
from cleaner.dataset.workspace import Workspace
from cleaner.stages.near_copies import MOST_CANDIDATES, Pictures, find_near_copies, hashes_of


@dataclass(frozen=True)
class Copies:
    """The copies among N files."""

    picture: np.ndarray
    """(N,) int64: equal for exact copies, numbered from 0 by first appearance; -1 for files that cannot be read."""
    group: np.ndarray
    """(N,) int64: groups of exact and near copies, numbered from 0 by first file; -1 for files without a copy."""
    is_near: np.ndarray
    """(N,) bool: members of groups that have no exact copy."""
    relation: list[str]
    """What each is to the first file of its group, one of `RELATIONS`."""
    warnings: list[str] = field(default_factory=list)


def find_copies(
    files: Sequence[FoundFile],
    facts: Sequence[ImageFacts],
    settings: ScanSettings,
    workspace: Workspace,
    options: RunOptions,
) -> Copies:
    """Exact copies (equal upright pixels) and near ones of `files`, whose facts `facts` are, in the order of both.

    Near duplicates are searched among the first files of pictures, nearly uniform ones aside, unless the setting
    near_radius is 0; exact copies follow their picture.
    """
    picture = number_pictures([f.pixel_id for f in facts])
    rows = np.flatnonzero(picture >= 0)
    group, is_near = np.full(len(picture), -1, dtype=np.int64), np.zeros(len(picture), dtype=bool)
    relation = [""] * len(picture)
    if len(rows) == 0:
        return Copies(picture, group, is_near, relation)
    _, first, num_copies = np.unique(picture[rows], return_index=True, return_counts=True)
    first = rows[first]
    leader = np.arange(len(first))
    relations = ["exact"] * len(first)
    warnings = []
    asked = [p for p, row in enumerate(first) if facts[row].pixel_std >= UNIFORM_STD]
    if settings.near_radius > 0 and asked:
        pictures = pictures_of(files, facts, first[asked])
        found = find_near_copies(pictures, settings.near_radius, settings.file_timeout, workspace, options)
        leader[asked] = np.array(asked)[found.leader]
        for member, placing in found.placings.items():
            relations[asked[member]] = placing.relation
        if found.num_crowded:
            warnings.append(
                f"{found.num_crowded:,} images look like more than {MOST_CANDIDATES} earlier ones; "
                f"each was compared closely with the {MOST_CANDIDATES} likest alone"
            )
    sizes = np.bincount(leader, weights=num_copies, minlength=len(first))
    numbers = np.full(len(first), -1, dtype=np.int64)
    numbers[sizes > 1] = np.arange(int((sizes > 1).sum()))
    group[rows] = numbers[leader[picture[rows]]]
    is_near[rows] = (group[rows] >= 0) & (num_copies[picture[rows]] == 1)
    for row in rows[group[rows] >= 0]:
        own = picture[row]
        relation[row] = "first" if first[own] == row and leader[own] == own else relations[own]
    return Copies(picture, group, is_near, relation, warnings)


def number_pictures(pixel_ids: Sequence[str]) -> np.ndarray:
    """(N,) int64: a number for each of the distinct `pixel_ids`, from 0 by first appearance; -1 where it is empty."""
    ids = np.array(pixel_ids, dtype=object)
    known = ids != ""
    numbers = np.full(len(ids), -1, dtype=np.int64)
    numbers[known] = pd.factorize(ids[known])[0]  # equal bytes give equal pixels, so pixels alone decide
    return numbers


def pictures_of(files: Sequence[FoundFile], facts: Sequence[ImageFacts], rows: Sequence[int] | np.ndarray) -> Pictures:
    """What the search for near duplicates needs of some `rows` of `files`."""
    mine = [facts[row] for row in rows]
    return Pictures(
        paths=[files[row].path for row in rows],
        image_ids=[f.image_id for f in mine],
        hashes=hashes_of([f.near_hash for f in mine]),
        keypoints=[np.frombuffer(f.keypoints, dtype=KEYPOINT) for f in mine],
        aspect=np.array([f.width / f.height for f in mine]),
    )
