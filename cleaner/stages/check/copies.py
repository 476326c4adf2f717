"""Which new images are copies of known ones, or of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cleaner.config import RunOptions
from cleaner.dataset.fact_table import FactTable
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.images import UNIFORM_STD
from cleaner.dataset.kept_looks import KeptLooks
from cleaner.dataset.locations import is_remote
from cleaner.dataset.names import image_path
from cleaner.dataset.store import sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.scoring.copy_groups import Pair
from cleaner.stages.check.known import KnownSet
from cleaner.stages.near_copies import Looks, Pictures, propose_pairs
from cleaner.stages.scan_copies import pictures_of


@dataclass
class FoundCopies:
    """The copies among N new files."""

    kind: np.ndarray
    """(N,) object: '', exact or near."""
    known_row: np.ndarray
    """(N,) int64: the known set's row that each is a copy of; -1 if none."""
    new_row: np.ndarray
    """(N,) int64: an earlier new file that each is a copy of; -1 if none, or if it is one of a known image."""
    warnings: list[str] = field(default_factory=list)


def find_copies(
    known: KnownSet,
    files: FoundFiles,
    facts: FactTable,
    near_radius: int,
    scratch: Workspace,
    options: RunOptions,
) -> FoundCopies:
    """Exact copies by their pixels; near ones as the scan finds them, unless `near_radius` is 0.

    A known image whose file cannot be read, or has other bytes by now, is compared with nothing but equal pixels.
    """
    num = len(files)
    found = FoundCopies(np.full(num, "", object), np.full(num, -1, np.int64), np.full(num, -1, np.int64))
    first: dict[str, int] = {}
    asked = []
    for row, one in enumerate(facts):
        if one.fault:
            continue
        earlier = first.setdefault(one.pixel_id, row)
        found.known_row[row] = known.first_of_picture.get(one.pixel_id, -1)
        if found.known_row[row] < 0 and earlier != row:
            found.new_row[row] = earlier
        if found.known_row[row] >= 0 or earlier != row:
            found.kind[row] = "exact"
        elif one.pixel_std >= UNIFORM_STD:
            asked.append(row)
    if near_radius > 0 and asked:
        _find_near(
            found, known, pictures_of(files, facts, np.array(asked), scratch), asked, near_radius, scratch, options
        )
    return found


def _find_near(
    found: FoundCopies,
    known: KnownSet,
    new: Pictures,
    asked: list[int],
    near_radius: int,
    scratch: Workspace,
    options: RunOptions,
) -> None:
    """Fill in the near copies of the new pictures, the files `asked`."""
    rows = _comparable(known)
    looks = KeptLooks.read(known.workspace.stage_dir("scan"))
    if looks is None:
        found.warnings.append("the scan is of an older version: near copies are not looked for (cleaner scan --force)")
        return
    if len(looks.hashes) != len(known.rows):
        found.warnings.append("the scan has changed since the stages after it: near copies are not looked for")
        return
    old = _known_pictures(known, looks, rows)
    both = Pictures(
        sides=[*old.sides, *new.sides],
        looks=old.looks.followed_by(new.looks),
        aspect=np.concatenate([old.aspect, new.aspect]),
    )
    num_old = len(rows)
    pairs = [pair for pair in propose_pairs(both, near_radius) if pair[1] >= num_old]
    absent = _changed(both, sorted({i for i, _, _ in pairs if i < num_old}))
    if absent:
        found.warnings.append(
            f"{len(absent):,} known images that may be near copies cannot be compared: their files below "
            f"{known.images_root} are missing or changed"
        )
    pairs = [pair for pair in pairs if pair[0] not in absent]
    compared = Looks(scratch, options).look([(both.sides[i], both.sides[j], placing) for i, j, placing in pairs])
    confirmed: list[Pair] = [pair for pair, one in zip(pairs, compared, strict=True) if one.is_copy]
    for i, j, _ in sorted(confirmed, key=lambda pair: pair[:2]):
        row = asked[j - num_old]
        if found.kind[row]:
            continue
        found.kind[row] = "near"
        if i < num_old:
            found.known_row[row] = rows[i]
        else:
            found.new_row[row] = asked[i - num_old]


def _comparable(known: KnownSet) -> np.ndarray:
    """Rows of known pictures, each once, without nearly uniform ones."""
    first = np.array(sorted(known.first_of_picture.values()), dtype=np.int64)
    return first[known.rows["pixel_std"].to_numpy()[first] >= UNIFORM_STD]


def _known_pictures(known: KnownSet, looks: KeptLooks, rows: np.ndarray) -> Pictures:
    mine = known.rows.iloc[rows]
    return Pictures(
        sides=[
            (str(image_path(known.images_root, name)), image_id)
            for name, image_id in zip(mine["file_name"], mine["image_id"], strict=True)
        ],
        looks=looks.take(rows, None),
        aspect=(mine["width"] / mine["height"]).to_numpy(np.float64),
    )


def _changed(pictures: Pictures, places: Sequence[int]) -> set[int]:
    """Those of `places` whose files are not as they were scanned."""
    changed = set()
    for place in places:
        path, image_id = pictures.sides[place]
        try:
            same = is_remote(path) or sha256_file(Path(path)) == image_id
        except OSError:
            same = False
        if not same:
            changed.add(place)
    return changed
