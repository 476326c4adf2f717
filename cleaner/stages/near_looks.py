"""Looks at pairs of pictures, in workers: they load this module anew each time, so it takes little with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from cleaner.dataset.images import decode_upright, read_image
from cleaner.dataset.near_features import TURNS
from cleaner.dataset.store import Arrays, digest_of
from cleaner.scoring.copy_groups import Placing
from cleaner.scoring.second_look import LOOK_PX, Comparison, compare
from cleaner.worker_pool import Rescue, WorkerDiedError, restart_clock

_HELD = 64  # shrunk pictures that a worker holds, 7 MB
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_SAME_FRAME = 0.03  # alignment finds a frame this near by itself

Side = tuple[str, str]
"""Path and image_id of a picture."""
Look = tuple[Side, Side, Placing]
"""Two pictures, and where the second may lie in the first."""


def look_at_batch(batch: tuple[Look, ...]) -> Arrays:
    """Compare the two pictures of each look: `keys` (B, 16) uint8, and `found` (B, 7) float64, see `Comparison`."""
    load = lru_cache(maxsize=_HELD)(_load)
    with threadpool_limits(1, "blas"):  # small matrices, many workers
        found = [_look_at(look, load) for look in batch]
    keys = np.frombuffer(b"".join(map(look_key, batch)), dtype=np.uint8)
    return {
        "keys": keys.reshape(len(batch), -1),
        "found": np.array([(one.agreement, one.other_colour, *one.frame, one.stretch) for one in found]),
    }


def rescue_of_looks(file_timeout_s: float) -> Rescue[tuple[Look, ...]]:
    """How `look_at_batch` goes on where a picture ends its worker: the two of that look are no copies."""
    return Rescue(_each_look, _give_up, _join, file_timeout_s)


def _each_look(batch: tuple[Look, ...]) -> list[tuple[Look, ...]]:
    return [(look,) for look in batch]


def _give_up(batch: tuple[Look, ...], error: WorkerDiedError) -> Arrays:
    keys = np.frombuffer(b"".join(map(look_key, batch)), dtype=np.uint8)
    unlike = (0.0, 1.0, *_WHOLE, 1.0)
    return {"keys": keys.reshape(len(batch), -1), "found": np.array([unlike for _ in batch])}


def _join(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in ("keys", "found")}


def _look_at(look: Look, load: Callable[[Side], Image.Image]) -> Comparison:
    restart_clock()
    side, other, placing = look
    first, second, turn = load(side), load(other), TURNS[placing.turn]
    if turn is not None:
        second = second.transpose(turn)
    best = compare(first, second, np.array(placing.frame))
    if not best.is_copy and np.abs(np.subtract(placing.frame, _WHOLE)).max() > _SAME_FRAME:
        whole = compare(first, second, np.array(_WHOLE))  # a frame from few keypoints may be far off
        best = whole if whole.is_copy else best
    return best


def _load(side: Side) -> Image.Image:
    path, image_id = side
    image = Image.fromarray(decode_upright(read_image(path, image_id), path, LOOK_PX))
    factor = LOOK_PX / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0) if factor < 1 else image


def read_looks(arrays: Arrays) -> dict[bytes, Comparison]:
    """What `look_at_batch` found, by `look_key`."""
    rows = arrays["found"].tolist()
    return {
        key.tobytes(): Comparison(agreement, colour, (left, top, right, bottom), stretch)
        for key, (agreement, colour, left, top, right, bottom, stretch) in zip(arrays["keys"], rows, strict=True)
    }


def look_key(look: Look) -> bytes:
    """16 bytes that stand for a look: the contents of both files, and where the second may lie in the first."""
    (_, first), (_, second), placing = look
    frame = [round(edge, 4) for edge in placing.frame]
    return bytes.fromhex(digest_of(first, second, placing.turn, frame)[:32])
