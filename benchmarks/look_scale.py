"""Time and memory of the search for near duplicates among many pictures, the second look with it.

    python benchmarks/look_scale.py [--pictures 1000000] [--pairs 10000] [--workers 2]

Random hashes and keypoints stand for most of the pictures; nobody looks at those. `--pairs` of them are a file of
400 x 300 px and a smaller, more compressed copy of it, whose hashes differ in some bits: they are found among the rest,
and looked at as in a scan. `peak_mb` is what the scan's own process held at most and `own_core_seconds` what it
computed; what its workers hold does not grow with the number of pictures. Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, MAX_KEYPOINTS, NUM_HASHES, PLACE_UNIT
from cleaner.dataset.workspace import Workspace
from cleaner.stages.near_copies import Pictures, find_near_copies

_SIZE = (400, 300)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pictures = make_pictures(args.pictures, args.pairs, Path(scratch))
        rows = [{"step": "pictures as they are held", "peak_mb": peak_mb()}]
        before, cpu = time.monotonic(), time.process_time()
        found = find_near_copies(
            pictures,
            ScanSettings.near_radius,
            ScanSettings.file_timeout,
            Workspace(Path(scratch) / "work"),
            RunOptions(workers=args.workers),
        )
        rows.append({"step": "copies found", "copies": len(found.placings), "seconds": time.monotonic() - before})
        rows[-1] |= {"own_core_seconds": time.process_time() - cpu, "peak_mb": peak_mb()}
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.1f", na_rep=""))


def make_pictures(num: int, num_pairs: int, scratch: Path) -> Pictures:
    """`num` pictures, of which the first `num_pairs` have their copies in the next ones."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (num, NUM_HASHES, HASH_BYTES), dtype=np.uint8)
    flipped = rng.random((num_pairs, NUM_HASHES, HASH_BYTES)) < 0.2  # some 3 bits
    hashes[num_pairs : 2 * num_pairs] = hashes[:num_pairs] ^ flipped.astype(np.uint8)
    points = np.zeros((num, MAX_KEYPOINTS), dtype=KEYPOINT)
    points["code"] = rng.integers(0, 1 << 32, points.shape, dtype=np.uint32)
    points["weak"] = rng.integers(0, 32, (*points.shape, 4))
    points["place"] = rng.integers(PLACE_UNIT // 20, PLACE_UNIT, (*points.shape, 3))
    paths, ids = [""] * num, [""] * num
    for pair in range(num_pairs):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        photo = small.resize(_SIZE, Image.Resampling.BICUBIC)
        for place, image, quality in ((pair, photo, 90), (num_pairs + pair, photo.resize((280, 210)), 70)):
            path = scratch / f"{place}.jpg"
            image.save(path, quality=quality)
            paths[place], ids[place] = str(path), hashlib.sha256(path.read_bytes()).hexdigest()
    return Pictures(paths, ids, hashes, list(points), np.full(num, _SIZE[0] / _SIZE[1]))


def peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+)", status)
    return int(kilobytes) / 1000


if __name__ == "__main__":
    main()
