"""Time and memory of the search for near duplicates among many pictures, the second look with it.

    python benchmarks/look_scale.py [--pictures 1000000] [--pairs 10000] [--workers 2]

Random hashes and keypoints stand for most of the pictures; nobody looks at those. `--pairs` of them are a file of
400 x 300 px and a smaller, more compressed copy of it, whose hashes differ in some bits: they are found among the rest,
and looked at as in a scan. `held_mb` is what the scan's own process held before, `peak_mb` what it held at most and
`own_core_seconds` what it computed, `worker_mb` what one of its workers held at most: RssAnon, sampled. Looks lie in
files. Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from memory_watch import MemoryWatch, anon_mb
from PIL import Image

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.kept_looks import KeptLooks
from cleaner.dataset.near_features import HASH_BYTES, MAX_KEYPOINTS, NUM_HASHES, PLACE_UNIT
from cleaner.dataset.workspace import Workspace
from cleaner.stages.near_copies import Pictures, find_near_copies

_SIZE = (400, 300)
_PIECE = 1 << 16


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pictures = make_pictures(args.pictures, args.pairs, Path(scratch))
        held, before, cpu = anon_mb(os.getpid()), time.monotonic(), time.process_time()
        with MemoryWatch(os.getpid()) as watch:
            found = find_near_copies(
                pictures,
                ScanSettings.near_radius,
                ScanSettings.file_timeout,
                Workspace(Path(scratch) / "work"),
                RunOptions(workers=args.workers),
            )
        row = {"pictures": args.pictures, "pairs": args.pairs, "found": len(found.placings)}
        row |= {"seconds": time.monotonic() - before, "own_core_seconds": time.process_time() - cpu}
        row |= {"held_mb": held, "peak_mb": watch.own_mb, "worker_mb": watch.worker_mb}
    print(pd.DataFrame([row]).to_string(index=False, float_format="%.1f"))


def make_pictures(num: int, num_pairs: int, scratch: Path) -> Pictures:
    """`num` pictures, of which the first `num_pairs` have their copies in the next ones."""
    rng = np.random.default_rng(0)
    looks = KeptLooks.blank(num, scratch)
    hashes, points = looks.hashes, looks.points
    for start in range(0, num, _PIECE):
        part = slice(start, min(num, start + _PIECE))
        hashes[part] = rng.integers(0, 256, hashes[part].shape, dtype=np.uint8)
        mine = points[part.start * MAX_KEYPOINTS : part.stop * MAX_KEYPOINTS]
        mine["code"] = rng.integers(0, 1 << 32, mine.shape, dtype=np.uint32)
        mine["weak"] = rng.integers(0, 32, (*mine.shape, 4), dtype=np.uint8)
        mine["place"] = rng.integers(PLACE_UNIT // 20, PLACE_UNIT, (*mine.shape, 3), dtype=np.uint16)
    looks.counts[:] = MAX_KEYPOINTS
    flipped = rng.random((num_pairs, NUM_HASHES, HASH_BYTES)) < 0.2  # some 3 bits
    hashes[num_pairs : 2 * num_pairs] = hashes[:num_pairs] ^ flipped.astype(np.uint8)
    sides = [("", "")] * num
    for pair in range(num_pairs):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        photo = small.resize(_SIZE, Image.Resampling.BICUBIC)
        for place, image, quality in ((pair, photo, 90), (num_pairs + pair, photo.resize((280, 210)), 70)):
            path = scratch / f"{place}.jpg"
            image.save(path, quality=quality)
            sides[place] = str(path), hashlib.sha256(path.read_bytes()).hexdigest()
    return Pictures(sides, looks, np.full(num, _SIZE[0] / _SIZE[1]))


if __name__ == "__main__":
    main()
