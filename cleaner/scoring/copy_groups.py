"""Groups of near duplicates from pairs that a second look confirmed: every member is a copy of its group's first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cleaner.dataset.near_features import TURNS, T

MOST_ROUNDS = 8
"""After so many rounds of looking for groups among what is left over, the rest stays single."""
_WHOLE = 0.05  # share of a side: a frame whose edges lie this close to the picture's shows all of it

_X, _Y = np.array([[1.0, 0.0], [0.0, 1.0]])
_AXES = {
    None: (_X, _Y),
    T.FLIP_LEFT_RIGHT: (-_X, _Y),
    T.FLIP_TOP_BOTTOM: (_X, -_Y),
    T.ROTATE_180: (-_X, -_Y),
    T.TRANSPOSE: (_Y, _X),
    T.TRANSVERSE: (-_Y, -_X),
    T.ROTATE_90: (_Y, -_X),
    T.ROTATE_270: (-_Y, _X),
}
"""Where each orientation puts a picture's middle-based x and y axes: x' = row 0 · (x, y), y' = row 1 · (x, y)."""
_TURNED = [np.stack(_AXES[turn]) for turn in TURNS]  # by number of the orientation


@dataclass(frozen=True)
class Placing:
    """Where one picture lies in another: turned by `TURNS[turn]`, it fills `frame` of the other."""

    turn: int
    frame: tuple[float, float, float, float]
    """Left, top, right, bottom, as shares of the other's width and height."""

    def after(self, inner: Placing) -> Placing:
        """Where a picture lies that lies as `inner` in the one that this places."""
        turn, corner, extent = self._parts()
        low, high = np.array(inner.frame[:2]), np.array(inner.frame[2:])
        ends = np.stack([(turn @ (end - 0.5) + 0.5) * extent + corner for end in (low, high)])
        both = turn @ _TURNED[inner.turn]
        number = next(n for n, axes in enumerate(_TURNED) if np.array_equal(axes, both))
        left, top = ends.min(axis=0).tolist()
        right, bottom = ends.max(axis=0).tolist()
        return Placing(number, (left, top, right, bottom))

    def inverse(self) -> Placing:
        """Where the other lies in the picture."""
        turn, corner, extent = self._parts()
        ends = np.stack([turn.T @ ((np.full(2, end) - corner) / extent - 0.5) + 0.5 for end in (0.0, 1.0)])
        number = next(n for n, axes in enumerate(_TURNED) if np.array_equal(axes, turn.T))
        left, top = ends.min(axis=0).tolist()
        right, bottom = ends.max(axis=0).tolist()
        return Placing(number, (left, top, right, bottom))

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        corner = np.array(self.frame[:2])
        return _TURNED[self.turn], corner, np.array(self.frame[2:]) - corner

    @property
    def relation(self) -> str:
        """The picture's relation to the other: see `RELATIONS`."""
        left, top, right, bottom = self.frame
        inside = max(left, top, 1 - right, 1 - bottom)
        outside = max(-left, -top, right - 1, bottom - 1)
        framed = "" if max(inside, outside) <= _WHOLE else "part" if inside >= outside else "wider"
        turned = ("", "mirrored", "mirrored", "turned", "mirrored", "mirrored", "turned", "turned")[self.turn]
        return "_".join(filter(None, [turned, framed])) or "same_view"


_FRAMED = [f"{turned}_{framed}" for turned in ("mirrored", "turned") for framed in ("part", "wider")]
RELATIONS = ("", "first", "exact", "same_view", "part", "wider", "mirrored", "turned", *_FRAMED)
"""What a copy can be to its group's first image: `same_view` (other size, compression, light, a mark, or cut by 5 % a
side at most), `part` of it, `wider` than it, `mirrored` (and perhaps turned), `turned`."""

Pair = tuple[int, int, Placing]
Confirm = Callable[[Sequence[Pair]], Sequence[Placing | None]]


def group_copies(num: int, pairs: Sequence[Pair], confirm: Confirm) -> tuple[np.ndarray, dict[int, Placing]]:
    """Each picture's leader (num,) int64, itself if it has none, and the placings of the members in their leaders.

    `pairs` (i, j, where j lies in i), i < j, are candidates; `confirm` looks at such pairs and returns where they
    really lie, None for those that are no copies. Pictures joined by confirmed pairs, directly or over others, are
    compared with the first of them, and those confirmed are its group; the rest are grouped again, up to `MOST_ROUNDS`
    times. So there are no chains, and of N alike pictures far fewer than N² pairs are looked at.
    """
    seen = {(i, j): placing for (i, j, _), placing in zip(pairs, confirm(pairs), strict=True)}
    leader, placings = np.arange(num), {}
    single = {i for (pair, placing) in seen.items() if placing is not None for i in pair}
    for _ in range(MOST_ROUNDS):
        edges = [(*pair, p) for pair, p in seen.items() if p is not None and single.issuperset(pair)]
        reached = _reach(edges)
        asked = [(head, i, placing) for head, i, placing in reached if (head, i) not in seen]
        seen |= {(i, j): p for (i, j, _), p in zip(asked, confirm(asked), strict=True)}
        for head, i, _ in reached:
            placing = seen[head, i]
            if placing is not None:
                leader[i], placings[i] = head, placing
                single -= {head, i}
        if not reached:
            break
    return leader, placings


def _reach(edges: Sequence[Pair]) -> list[Pair]:
    """Of each set of pictures that `edges` join, the first, each other, and where that lies by the shortest way."""
    beside: dict[int, list[tuple[int, Placing]]] = {}
    for i, j, placing in sorted(edges, key=lambda edge: edge[:2]):
        beside.setdefault(i, []).append((j, placing))
        beside.setdefault(j, []).append((i, placing.inverse()))
    reached: list[Pair] = []
    met: set[int] = set()
    for head in sorted(beside):
        if head in met:
            continue
        met.add(head)
        waiting = deque([(head, Placing(0, (0.0, 0.0, 1.0, 1.0)))])
        while waiting:
            at, way = waiting.popleft()
            for i, placing in beside[at]:
                if i not in met:
                    met.add(i)
                    waiting.append((i, way.after(placing)))
                    reached.append((head, i, waiting[-1][1]))
    return reached
