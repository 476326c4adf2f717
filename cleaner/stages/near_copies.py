"""Finds near duplicates: hashes and keypoints propose pairs of pictures, a second look at their pixels decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.kept_looks import KeptLooks
from cleaner.dataset.near_features import NUM_COLOURS, NUM_TURNS
from cleaner.dataset.store import ArrayStore, digest_of
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.scoring.copy_groups import Pair, Placing, group_copies
from cleaner.scoring.duplicates import find_near_pairs
from cleaner.scoring.keypoint_matches import match_keypoints
from cleaner.scoring.second_look import Comparison
from cleaner.stages.inputs import task_cache
from cleaner.stages.near_looks import Look, Side, look_at_batch, look_key, read_looks, rescue_of_looks

MOST_CANDIDATES = 8
"""Each picture is compared with so many earlier ones by its hashes, and with so many by its keypoints, the likest."""
BATCH_PAIRS = 128
"""The most pairs in one task: what a worker loses if it is killed."""
_FEWEST_TASKS, _FEWEST_PAIRS = 16, 16  # fewer pairs a task where there are few, so that workers share them
LOOK_VERSION = 3
"""Raise it whenever `compare` gives different results, so that older ones are not reused."""
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class NearCopies:
    """The near duplicates among N pictures."""

    leader: np.ndarray
    """(N,) int64: the first picture of each one's group; itself for those in none."""
    placings: dict[int, Placing]
    """Where the members of groups lie in their leaders."""
    num_crowded: int
    """Pictures that have as many candidates as are compared, and perhaps more."""


@dataclass(frozen=True)
class Pictures:
    """Pictures among which near duplicates are searched, in their order."""

    sides: Sequence[Side]
    looks: KeptLooks
    """Without gaps: those of `KeptLooks.take`."""
    aspect: np.ndarray
    """(N,) float64, width over height."""


def find_near_copies(
    pictures: Pictures, radius: int, file_timeout_s: float, workspace: Workspace, options: RunOptions
) -> NearCopies:
    """The near duplicates among `pictures`, as `group_copies` groups them.

    Comparisons are kept in the workspace's cache by the contents of the two files. Two pictures whose comparison
    crashes, or takes more than `file_timeout_s` of CPU, are no copies.
    """
    looks = Looks(workspace, options, file_timeout_s)

    def confirm(pairs: Sequence[Pair]) -> list[Placing | None]:
        sides = pictures.sides
        found = looks.look([(sides[i], sides[j], placing) for i, j, placing in pairs])
        return [
            Placing(placing.turn, one.frame) if one.is_copy else None
            for (_, _, placing), one in zip(pairs, found, strict=True)
        ]

    proposed = propose_pairs(pictures, radius)
    later = np.bincount([j for _, j, _ in proposed], minlength=1)
    return NearCopies(*group_copies(len(pictures.sides), proposed, confirm), int((later >= MOST_CANDIDATES).sum()))


def propose_pairs(pictures: Pictures, radius: int) -> list[Pair]:
    """Pairs that may be copies, at most `MOST_CANDIDATES` by hash and as many by keypoints for each picture."""
    proposed: dict[tuple[int, int], Placing] = {}
    looks = pictures.looks
    owner = np.repeat(np.arange(len(looks.counts), dtype=np.int32), looks.counts)
    for i, j, *frame in match_keypoints(looks.points, owner, pictures.aspect, MOST_CANDIDATES).tolist():
        left, top, right, bottom = frame
        proposed[int(i), int(j)] = Placing(0, (left, top, right, bottom))
    hashes, colours = looks.hashes[:, :NUM_TURNS], looks.hashes[:, NUM_TURNS, :NUM_COLOURS]
    for i, j, turn in find_near_pairs(hashes, radius, MOST_CANDIDATES, colours).tolist():
        if turn or (i, j) not in proposed:  # keypoints know the frame better
            proposed[i, j] = Placing(turn, _WHOLE)
    return [(i, j, placing) for (i, j), placing in sorted(proposed.items(), key=lambda item: item[0])]


class Looks:
    """Looks at pairs with the run's engine, and remembers what they showed."""

    def __init__(
        self, workspace: Workspace, options: RunOptions, file_timeout_s: float = ScanSettings.file_timeout
    ) -> None:
        self._options = options
        self._rescue = rescue_of_looks(file_timeout_s)
        self._store = ArrayStore(task_cache(workspace, options) / "near" / f"v{LOOK_VERSION}")
        self._known: dict[bytes, Comparison] = {}
        for key in self._store.stored_keys():
            if (arrays := self._store.get(key)) is not None:
                self._known |= read_looks(arrays)

    def look(self, looks: Sequence[Look]) -> list[Comparison]:
        """How the two pictures of each compare."""
        keys = [look_key(look) for look in looks]
        fresh = [look for key, look in zip(keys, looks, strict=True) if key not in self._known]
        if fresh:
            num = min(BATCH_PAIRS, max(_FEWEST_PAIRS, len(fresh) // _FEWEST_TASKS))
            batches = [tuple(fresh[at : at + num]) for at in range(0, len(fresh), num)]
            tasks = [(digest_of(b"".join(map(look_key, batch)))[:32], batch) for batch in batches]
            engine = open_engine(self._options)
            with self._options.progress.task("second look at likely copies, images", len(fresh)) as task:
                for arrays in engine.map(look_at_batch, tasks, store=self._store, rescue=self._rescue):
                    found = read_looks(arrays)
                    self._known |= found
                    task.advance(len(found))
        return [self._known[key] for key in keys]
