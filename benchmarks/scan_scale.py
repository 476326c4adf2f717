"""How time and memory of a scan's bookkeeping, and of the search for near duplicates, grow with the number of files.

    python benchmarks/scan_scale.py [--files 10000 100000 1000000] [--csv FILE]

Makes so many files in 1,000 class folders and, in the scan's cache, what looking at them would have found: random
pictures, of a hundred one a near duplicate of another and one an exact copy. Then `cleaner scan --near-radius 0`
lists the files, takes up what it knows and writes the manifest without reading a picture: what remains is what grows
beside decoding. `hashes` and `keypoints` are the two searches that propose near duplicates, alone; there is nothing to
look at. `listing` is a scan that finds everything up to date.
One table; --csv writes it for plot_growth.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from table_scale import measure

from cleaner.config import ScanSettings
from cleaner.dataset.files import FoundFile, list_files
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import INSPECTION_VERSION
from cleaner.dataset.near_features import HASH_BYTES, KEYPOINT, MAX_KEYPOINTS, NUM_HASHES, PLACE_UNIT
from cleaner.dataset.store import ArrayStore, digest_of
from cleaner.scoring.duplicates import find_near_pairs
from cleaner.scoring.keypoint_matches import match_keypoints
from cleaner.stages.near_copies import MOST_CANDIDATES

NUM_FOLDERS = 1000
_PIECE = 10_000
_FIELDS = [f.name for f in dataclasses.fields(ImageFacts) if f.name not in ("near_hash", "keypoints")]


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        prepare(Path(args.make[0]), int(args.make[1]))
        return
    rows: list[dict[str, object]] = []
    for num in args.files:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
            # in another process: a child's peak counts from its parent's size at the fork, and this one stays small
            command = [sys.executable, __file__, "--make", scratch, str(num)]
            searches = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            rows += [{"rows": num} | search for search in searches]
            for name in ("scan, known files", "listing"):
                seconds, cpu, peak_mb, _ = measure(
                    Path(scratch) / "work", "scan", f"{scratch}/images", "--quiet", "--near-radius", "0"
                )
                rows.append({"rows": num, "command": name, "seconds": seconds, "core_seconds": cpu, "peak_mb": peak_mb})
        print(*rows[-4:], sep="\n", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.2f", na_rep=""))
    if args.csv:
        table.to_csv(args.csv, index=False)


def prepare(scratch: Path, num: int) -> None:
    """Files, and what a scan of them would have found; prints time and memory of the searches for near duplicates."""
    root = scratch / "images"
    for i in range(NUM_FOLDERS):
        (root / f"class_{i:04d}").mkdir(parents=True)
    for i in range(num):
        (root / f"class_{i % NUM_FOLDERS:04d}" / f"{i:08d}.jpg").touch()
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (num, NUM_HASHES, HASH_BYTES), dtype=np.uint8)
    picture = np.arange(num)
    near, exact = rng.choice(num, (2, max(1, num // 100)), replace=False)
    hashes[near, 0] = hashes[near - 1, 0] ^ (rng.random(hashes[near, 0].shape) < 0.2).astype(np.uint8)  # some 3 bits
    hashes[exact], picture[exact] = hashes[exact - 1], picture[exact - 1]
    files = list_files(root, follow_symlinks=False)
    folder = scratch / "work" / "cache" / "scan" / digest_of(str(root.resolve()))[:16]
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{ScanSettings.max_pixels}")
    for start in range(0, num, _PIECE):
        part = slice(start, start + _PIECE)
        rows = [describe(file, int(p)) for file, p in zip(files[part], picture[part], strict=True)]
        facts = np.frombuffer(json.dumps(rows).encode(), np.uint8)
        looks = {"near_hash": hashes[part].reshape(len(rows), -1), "num_keypoints": np.zeros(len(rows), np.int64)}
        store.put(f"piece-{start:08d}", {"facts": facts, "keypoints": np.empty(0, np.uint8)} | looks)
    del files, store
    before = time.monotonic()
    pairs = find_near_pairs(hashes, ScanSettings.near_radius, MOST_CANDIDATES)
    found = [{"command": "hashes", "seconds": time.monotonic() - before, "peak_mb": peak_mb()}]
    assert len(pairs) >= len(near), "a planted near duplicate was not found"
    del hashes, pairs
    points = np.zeros(num * MAX_KEYPOINTS, dtype=KEYPOINT)
    points["code"] = rng.integers(0, 1 << 32, len(points), dtype=np.uint32)
    points["weak"] = rng.integers(0, 32, (len(points), 4))
    points["place"] = rng.integers(PLACE_UNIT // 20, PLACE_UNIT, (len(points), 3))
    before = time.monotonic()
    match_keypoints(points, np.repeat(np.arange(num), MAX_KEYPOINTS), np.ones(num), MOST_CANDIDATES)
    found.append({"command": "keypoints", "seconds": time.monotonic() - before, "peak_mb": peak_mb()})
    print(json.dumps(found))


def peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def describe(file: FoundFile, picture: int) -> list[list[object]]:
    """A row of the scan's cache: the file, and what it shows."""
    digest = digest_of(picture)
    facts = ImageFacts(
        image_id=digest_of(file.name),
        file_bytes=file.size,
        format="JPEG",
        mode="RGB",
        width=500,
        height=375,
        pixel_id=digest,
        num_colors=3000,
        pixel_std=0.2,
        sharpness=1.0,
        flat_share=0.3,
        brightness_low=0.1,
        brightness_high=0.9,
        information=7.0,
    )
    return [[file.name, file.size, file.mtime_ns], [getattr(facts, name) for name in _FIELDS]]


if __name__ == "__main__":
    main()
