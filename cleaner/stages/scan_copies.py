"""Exact and near copies among scanned files: their groups, and how the members are related."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.fact_table import FactTable
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.images import UNIFORM_STD
from cleaner.dataset.words import Words
from cleaner.dataset.workspace import Workspace
from cleaner.on_demand import OnDemand
from cleaner.stages.near_copies import MOST_CANDIDATES, Pictures, find_near_copies
from cleaner.stages.near_looks import Side


@dataclass(frozen=True)
class Copies:
    """The copies among N files."""

    picture: np.ndarray
    """(N,) int64: equal for exact copies, numbered from 0 by first appearance; -1 for files that cannot be read."""
    group: np.ndarray
    """(N,) int64: groups of exact and near copies, numbered from 0 by first file; -1 for files without a copy."""
    is_near: np.ndarray
    """(N,) bool: members of groups that have no exact copy."""
    relation: Words
    """What each is to the first file of its group, one of `RELATIONS`."""
    warnings: list[str] = field(default_factory=list)


def find_copies(
    files: FoundFiles, facts: FactTable, settings: ScanSettings, workspace: Workspace, options: RunOptions
) -> Copies:
    """Exact copies (equal upright pixels) and near ones of `files`, whose facts `facts` are, in the order of both.

    Near duplicates are searched among the first files of pictures, nearly uniform ones aside, unless the setting
    near_radius is 0; exact copies follow their picture.
    """
    picture = number_pictures(facts.digests["pixel_id"])
    rows = np.flatnonzero(picture >= 0)
    group, is_near = np.full(len(picture), -1, dtype=np.int64), np.zeros(len(picture), dtype=bool)
    relation = Words.blank(len(picture))
    if len(rows) == 0:
        return Copies(picture, group, is_near, relation)
    _, first, num_copies = np.unique(picture[rows], return_index=True, return_counts=True)
    first = rows[first]
    leader = np.arange(len(first))
    relations: dict[int, str] = {}
    warnings = []
    asked = np.flatnonzero(facts.numbers["pixel_std"][first] >= np.float64(UNIFORM_STD))
    if settings.near_radius > 0 and len(asked):
        pictures = pictures_of(files, facts, first[asked], workspace)
        found = find_near_copies(pictures, settings.near_radius, settings.file_timeout, workspace, options)
        leader[asked] = asked[found.leader]
        relations = {int(asked[member]): placing.relation for member, placing in found.placings.items()}
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
    members = rows[group[rows] >= 0]
    own = picture[members]
    is_first = (first[own] == members) & (leader[own] == own)
    said = ["first" if one else relations.get(p, "exact") for one, p in zip(is_first, own.tolist(), strict=True)]
    relation.put(members, said)
    return Copies(picture, group, is_near, relation, warnings)


def number_pictures(pixel_ids: np.ndarray) -> np.ndarray:
    """(N,) int64: a number for each distinct row of `pixel_ids` (N, 32) uint8, from 0 by first appearance.

    -1 where it is all zeros. Equal bytes of a file give equal pixels, so pixels alone decide.
    """
    words = np.ascontiguousarray(pixel_ids).view(np.uint64)  # (N, 4)
    rows = np.flatnonzero(words.any(axis=1))
    order = rows[np.lexsort([words[rows, place] for place in range(words.shape[1])])]  # of equal ones the first first
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = False
    for place in range(words.shape[1]):
        column = words[order, place]
        is_new[1:] |= column[1:] != column[:-1]
    firsts = order[is_new]
    rank = np.empty(len(firsts), dtype=np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    numbers = np.full(len(words), -1, dtype=np.int64)
    numbers[order] = rank[np.cumsum(is_new) - 1]
    return numbers


def pictures_of(files: FoundFiles, facts: FactTable, rows: np.ndarray, workspace: Workspace) -> Pictures:
    """What the search for near duplicates needs of some `rows` of `files`; their looks lie on disk in the cache."""
    width, height = (facts.numbers[name][rows] for name in ("width", "height"))
    return Pictures(_Sides(files, facts, rows), facts.looks.take(rows, workspace.cache), width / height)


class _Sides(OnDemand[Side]):
    """Path and image_id of the files of some rows."""

    def __init__(self, files: FoundFiles, facts: FactTable, rows: np.ndarray) -> None:
        self._files, self._facts, self._rows = files, facts, rows

    def __len__(self) -> int:
        return len(self._rows)

    def _make(self, number: int) -> Side:
        row = int(self._rows[number])
        return self._files[row].path, self._facts.digest("image_id", row)
