"""What a scan keeps of how its images look, so that copies of them are found later without reading them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save as save_tensors

from cleaner.dataset.images import ImageFacts
from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, NUM_HASHES
from cleaner.dataset.store import Arrays, write_atomic
from cleaner.reading import reading

FILE = "looks.safetensors"


@dataclass(frozen=True)
class KeptLooks:
    """Of the N rows of a scan's manifest, in their order; zeros and nothing for files that cannot be read."""

    hashes: np.ndarray
    """(N, 7, 16) uint8, see `perceptual_hashes`."""
    keypoints: list[np.ndarray]
    """N arrays, see `find_keypoints`."""

    @classmethod
    def read(cls, folder: Path) -> KeptLooks | None:
        """What a scan has written to `folder`; None if that was an older version."""
        path = folder / FILE
        if not path.exists():
            return None
        with reading(path, "file of looks", "run `cleaner scan --force IMAGES`"):
            tensors = load_file(path)
            ends = np.cumsum(tensors["num_keypoints"])
            points = np.split(tensors["keypoints"].reshape(-1).view(KEYPOINT), ends[:-1]) if len(ends) else []
            return cls(tensors["hashes"].reshape(-1, NUM_HASHES, HASH_BYTES), points)


def write_looks(folder: Path, names: Sequence[str], facts: Sequence[ImageFacts]) -> str:
    """Write the looks of files by their names, as the manifest orders its rows; returns the file's name."""
    facts = [facts[row] for row in sorted(range(len(names)), key=names.__getitem__)]
    hashes = b"".join(f.near_hash or bytes(NUM_HASHES * HASH_BYTES) for f in facts)
    tensors: Arrays = {
        "hashes": np.frombuffer(hashes, np.uint8),
        "num_keypoints": np.array([len(f.keypoints) // KEYPOINT.itemsize for f in facts], np.int64),
        "keypoints": np.frombuffer(b"".join(f.keypoints for f in facts), np.uint8),
    }
    write_atomic(folder / FILE, save_tensors(tensors))
    return FILE
