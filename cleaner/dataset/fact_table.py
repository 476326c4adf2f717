"""What scan knows of many files, held as columns: some 130 bytes a file in memory, and their looks on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cleaner.dataset.images import ImageFacts
from cleaner.dataset.kept_looks import KeptLooks
from cleaner.dataset.near_features import KEYPOINT, MAX_KEYPOINTS
from cleaner.dataset.words import Words
from cleaner.on_demand import OnDemand

DIGESTS = ("image_id", "pixel_id")
TEXTS = ("format", "mode", "fault", "notes")
NUMBERS: dict[str, type[np.generic]] = {
    "file_bytes": np.int64,
    "width": np.int32,
    "height": np.int32,
    "num_colors": np.int32,
    "pixel_std": np.float32,
    "sharpness": np.float32,
    "flat_share": np.float32,
    "brightness_low": np.float32,
    "brightness_high": np.float32,
    "information": np.float32,
}
_LOOKS = ("near_hash", "keypoints")
FIELDS = tuple(field.name for field in dataclasses.fields(ImageFacts) if field.name not in _LOOKS)
"""The fields of `ImageFacts` but for its looks, in its order, in which the scan's cache has them."""
_NOTHING = ImageFacts()
_DIGEST_BYTES = 32

Array = np.ndarray[Any, np.dtype[Any]]


class FactTable(OnDemand[ImageFacts]):
    """The facts of N files; `ImageFacts` of one are made when they are asked for."""

    def __init__(self, num: int, scratch: Path | None = None) -> None:
        """Nothing is known of any yet. Looks lie on disk in the folder `scratch`, if one is given."""
        self.digests = {name: np.zeros((num, _DIGEST_BYTES), dtype=np.uint8) for name in DIGESTS}
        """(N, 32) uint8 each; zeros for ''."""
        self.texts = {name: Words.blank(num) for name in TEXTS}
        self.numbers = {name: np.full(num, getattr(_NOTHING, name), dtype) for name, dtype in NUMBERS.items()}
        """(N,) each."""
        self.looks = KeptLooks.blank(num, scratch)

    def put(self, rows: Array, values: Mapping[str, Sequence[Any]], hashes: Array, keypoints: Sequence[Array]) -> None:
        """Fill in `rows` (R,) int: of `FIELDS` R values each, with those of their looks (see `KeptLooks.put`).

        Raises ValueError for values that no scan finds.
        """
        if any(len(points) > MAX_KEYPOINTS for points in keypoints):
            raise ValueError("more keypoints than a picture has")
        for name, digests in self.digests.items():
            digests[rows] = _from_hex(values[name])
        for name, words in self.texts.items():
            words.put(rows, values[name])
        for name, numbers in self.numbers.items():
            numbers[rows] = values[name]
        seen: Array = np.asarray(self.digests["pixel_id"][rows].any(axis=1))
        points = [one if shows else one[:0] for one, shows in zip(keypoints, seen, strict=True)]
        self.looks.put(rows, hashes * seen[:, None], points)

    def put_fault(self, row: int, fault: str, file_bytes: int) -> None:
        """Fill in a file that was not opened."""
        self.texts["fault"].put(np.array([row]), [fault])
        self.numbers["file_bytes"][row] = file_bytes

    @property
    def is_sound(self) -> Array:
        """(N,) bool: without a fault."""
        faults = self.texts["fault"]
        sound: Array = np.array([not fault for fault in faults.distinct], dtype=bool)[faults.codes]
        return sound

    def digest(self, name: str, row: int) -> str:
        """One of `DIGESTS` of a file as hex digits; '' where there is none."""
        digest = self.digests[name][row]
        return digest.tobytes().hex() if digest.any() else ""

    def __len__(self) -> int:
        return len(self.looks.counts)

    def _make(self, number: int) -> ImageFacts:
        found: dict[str, Any] = {name: self.digest(name, number) for name in DIGESTS}
        found |= {name: words[number] for name, words in self.texts.items()}
        found |= {name: numbers[number].item() for name, numbers in self.numbers.items()}
        if found["pixel_id"]:
            found["near_hash"] = self.looks.hashes[number].tobytes()
            found["keypoints"] = self.looks.keypoints(number).astype(KEYPOINT).tobytes()
        return ImageFacts(**found)


def _from_hex(digests: Sequence[str]) -> Array:
    """(N, 32) uint8 of digests of 64 hex digits; zeros for ''."""
    if any(len(digest) not in (0, 2 * _DIGEST_BYTES) for digest in digests):
        raise ValueError("a digest has not 64 hex digits")
    whole = bytes.fromhex("".join(digest or "0" * (2 * _DIGEST_BYTES) for digest in digests))
    return np.frombuffer(whole, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
