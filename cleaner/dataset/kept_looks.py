"""What a scan keeps of how its images look, so that copies of them are found later without reading them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, MAX_KEYPOINTS, NUM_HASHES
from cleaner.dataset.scratch import scratch_array
from cleaner.dataset.store import atomic_writer, map_file
from cleaner.dataset.tensor_files import read_tensors, tensor_header
from cleaner.reading import reading

FILE = "looks.safetensors"
_PIECE_ROWS = 1 << 16

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class KeptLooks:
    """Of N files, such as the rows of a scan's manifest; zeros and nothing for files that cannot be read."""

    hashes: Array
    """(N, 8, 16) uint8, see `perceptual_hashes`."""
    points: Array
    """(M,) `KEYPOINT`, in which those of a file lie side by side."""
    starts: Array
    """(N,) int64: where those of each begin."""
    counts: Array
    """(N,) int: how many each has."""

    @classmethod
    def blank(cls, num: int, scratch: Path | None) -> KeptLooks:
        """Of `num` files, to be filled in; on disk in the folder `scratch`, if one is given."""
        return cls(
            hashes=scratch_array(scratch, np.uint8, (num, NUM_HASHES, HASH_BYTES)),
            points=scratch_array(scratch, KEYPOINT, (num * MAX_KEYPOINTS,)),
            starts=np.arange(num, dtype=np.int64) * MAX_KEYPOINTS,
            counts=np.zeros(num, dtype=np.uint8),
        )

    @classmethod
    def read(cls, folder: Path) -> KeptLooks | None:
        """What a scan has written to `folder`; None if that was an older version."""
        path = folder / FILE
        if not path.exists():
            return None
        with reading(path, "file of looks", "run `cleaner scan --force IMAGES`"):
            tensors, _ = read_tensors(map_file(path))
            counts, points = tensors["num_keypoints"], tensors["keypoints"].reshape(-1).view(KEYPOINT)
            if tensors["hashes"].size != len(counts) * NUM_HASHES * HASH_BYTES:
                return None
            if counts.sum() != len(points):
                raise ValueError("it holds other keypoints than it says")
            return cls(
                tensors["hashes"].reshape(-1, NUM_HASHES, HASH_BYTES), points, np.cumsum(counts) - counts, counts
            )

    def put(self, rows: Array, hashes: Array, keypoints: Sequence[Array]) -> None:
        """Fill in `rows` (R,) int of a blank one: (R, 128) uint8, and arrays of at most 32 `KEYPOINT`."""
        self.hashes[rows] = hashes.reshape(-1, NUM_HASHES, HASH_BYTES)
        for row, points in zip(rows.tolist(), keypoints, strict=True):
            self.points[self.starts[row] : self.starts[row] + len(points)] = points
            self.counts[row] = len(points)

    def keypoints(self, row: int) -> Array:
        """(K,) `KEYPOINT`: those of one file."""
        return self.points[self.starts[row] : self.starts[row] + self.counts[row]]

    def take(self, rows: Array, scratch: Path | None) -> KeptLooks:
        """Those of `rows` (R,) int, in their order, without gaps."""
        counts = self.counts[rows].astype(np.int64)
        ends = np.cumsum(counts)
        taken = KeptLooks(
            hashes=scratch_array(scratch, np.uint8, (len(rows), NUM_HASHES, HASH_BYTES)),
            points=scratch_array(scratch, KEYPOINT, (int(counts.sum()),)),
            starts=ends - counts,
            counts=counts,
        )
        for start in range(0, len(rows), _PIECE_ROWS):
            part = slice(start, start + _PIECE_ROWS)
            taken.hashes[part] = self.hashes[rows[part]]
            taken.points[taken.starts[start] : ends[part][-1]] = self._points_of(rows[part])
        return taken

    def followed_by(self, other: KeptLooks) -> KeptLooks:
        """Those of both, neither with gaps."""
        return KeptLooks(
            hashes=np.concatenate([self.hashes, other.hashes]),
            points=np.concatenate([self.points, other.points]),
            starts=np.concatenate([self.starts, other.starts + len(self.points)]),
            counts=np.concatenate([self.counts, other.counts]),
        )

    def write(self, folder: Path) -> str:
        """Write them to `folder`; returns the file's name. A piece is held at a time."""
        num, num_points = len(self.counts), int(self.counts.sum(dtype=np.int64))
        byte, pieces = np.dtype(np.uint8), range(0, num, _PIECE_ROWS)
        kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
            "num_keypoints": (np.dtype(np.int64), (num,)),
            "hashes": (byte, (self.hashes.size,)),
            "keypoints": (byte, (num_points * KEYPOINT.itemsize,)),
        }
        with atomic_writer(folder / FILE) as file:
            order, header = tensor_header(kinds, {})
            assert order == ["num_keypoints", "hashes", "keypoints"]
            file.write(header)
            file.write(self.counts.astype(np.int64).tobytes())
            for start in pieces:
                file.write(self.hashes[start : start + _PIECE_ROWS].tobytes())
            for start in pieces:
                file.write(self._points_of(np.arange(start, min(num, start + _PIECE_ROWS))).tobytes())
        return FILE

    def _points_of(self, rows: Array) -> Array:
        """The keypoints of a few files, one file's after another's."""
        counts = self.counts[rows].astype(np.int64)
        ends = np.cumsum(counts)
        places = np.arange(counts.sum()) + np.repeat(self.starts[rows] - ends + counts, counts)
        found: Array = self.points[places]
        return found
