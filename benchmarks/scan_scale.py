"""How time and memory of a scan's bookkeeping, and of the search for near duplicates, grow with the number of files.

    python benchmarks/scan_scale.py [--files 10000 100000 1000000] [--unmade 10000000] [--no-searches]
                                    [--keep DIR] [--csv FILE]

Makes so many files in 1,000 class folders and, in the scan's cache, what looking at them would have found: random
pictures with 32 keypoints each, of a hundred one an exact copy. Then `cleaner scan --near-radius 0` lists the files,
takes up what it knows and writes the manifest without reading a picture: what remains is what grows beside decoding.
`listing` is a scan that finds everything up to date. `--unmade` scans files that exist in memory alone, for numbers of
which no disk has the inodes: without listing a disk and reading the cache. `search_hashes` and `search_keypoints` are
the two searches that propose near duplicates, alone, with what they search; there is nothing to look at. `peak_mb` is
RssAnon, sampled. One table; --csv writes it for plot_growth.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from memory_watch import MemoryWatch, run_watched

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.fact_table import FIELDS, FactTable
from cleaner.dataset.files import list_files
from cleaner.dataset.found_files import FoundFile, FoundFiles
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import BATCH_FILES, INSPECTION_VERSION
from cleaner.dataset.near_features import (
    HASH_BYTES,
    KEYPOINT,
    MAX_KEYPOINTS,
    NUM_COLOURS,
    NUM_HASHES,
    NUM_TURNS,
    PLACE_UNIT,
)
from cleaner.dataset.store import ArrayStore, digest_of
from cleaner.dataset.workspace import Workspace
from cleaner.scoring.duplicates import find_near_pairs
from cleaner.scoring.keypoint_matches import match_keypoints
from cleaner.stages import scan
from cleaner.stages.near_copies import MOST_CANDIDATES

NUM_FOLDERS = 1000
_PIECE = 1 << 16
_ALIKE = ImageFacts(
    format="JPEG",
    mode="RGB",
    width=500,
    height=375,
    num_colors=3000,
    pixel_std=0.2,
    sharpness=1.0,
    flat_share=0.3,
    brightness_low=0.1,
    brightness_high=0.9,
    information=7.0,
)
_FACTS = {name: getattr(_ALIKE, name) for name in FIELDS}


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--no-searches", action="store_true", help="the scan's bookkeeping alone")
    parser.add_argument("--keep", type=Path, help="make the files here, or take those that are here, and leave them")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--unmade", nargs="*", type=int, default=[], help="so many files that no disk holds")
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for num in args.unmade:
        rows.append({"rows": num} | in_a_process(scan_unmade, num))
        print(rows[-1], file=sys.stderr, flush=True)
    for num in args.files:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
            place = args.keep or Path(scratch)
            if not (place / "made").exists():
                make_files(place, num)
            shutil.rmtree(place / "work/scan", ignore_errors=True)
            for name in ("scan, known files", "listing"):
                usage, _ = run_watched(place / "work", "scan", f"{place}/images", "--quiet", "--near-radius", "0")
                rows.append({"rows": num, "command": name} | usage)
                print(rows[-1], file=sys.stderr, flush=True)
        for search in () if args.no_searches else (search_hashes, search_keypoints):
            rows.append({"rows": num} | in_a_process(search, num))
            print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.2f", na_rep=""))
    if args.csv:
        table.to_csv(args.csv, index=False)


def make_files(scratch: Path, num: int) -> None:
    """Files, and what a scan of them would have found."""
    root = scratch / "images"
    for i in range(NUM_FOLDERS):
        (root / f"class_{i:04d}").mkdir(parents=True)
    for i in range(num):
        os.mknod(f"{root}/class_{i % NUM_FOLDERS:04d}/{i:08d}.jpg")
    rng = np.random.default_rng(0)
    picture = np.arange(num)
    exact = rng.choice(num, max(1, num // 100), replace=False)
    picture[exact] = picture[exact - 1]
    files = list_files(root, follow_symlinks=False)
    folder = scratch / "work" / "cache" / "scan" / digest_of(str(root.resolve()))[:16]
    store = ArrayStore(folder / f"v{INSPECTION_VERSION}-{ScanSettings.max_pixels}")
    for start in range(0, num, BATCH_FILES):
        part = slice(start, start + BATCH_FILES)
        rows = [describe(file, int(p)) for file, p in zip(files[part], picture[part], strict=True)]
        store.put(
            f"piece-{start:08d}",
            {
                "facts": np.frombuffer(json.dumps(rows).encode(), np.uint8),
                "near_hash": rng.integers(0, 256, (len(rows), NUM_HASHES * HASH_BYTES), dtype=np.uint8),
                "num_keypoints": np.full(len(rows), MAX_KEYPOINTS),
                "keypoints": rng.integers(0, 256, len(rows) * MAX_KEYPOINTS * KEYPOINT.itemsize, dtype=np.uint8),
            },
        )
    (scratch / "made").touch()


def scan_unmade(num: int) -> float:
    """Seconds of a scan of `num` files that exist in its columns alone, with facts but for keypoints, and no cache."""
    rng = np.random.default_rng(0)

    def list_all(root: Path, *_: object) -> FoundFiles:
        names = (f"class_{i // -(-num // NUM_FOLDERS):04d}/{i:08d}.jpg" for i in range(num))
        return FoundFiles(str(root), (FoundFile(name, f"{root}/{name}", 0, 0) for name in names))

    def inspect_all(workspace: Workspace, files: FoundFiles, *_: object) -> FactTable:
        facts = FactTable(len(files), workspace.cache)
        for start in range(0, num, _PIECE):
            rows = np.arange(start, min(num, start + _PIECE))
            for digests in facts.digests.values():
                digests[rows] = rng.integers(0, 256, (len(rows), 32), dtype=np.uint8)
            for name, words in facts.texts.items():
                words.put(rows, [_FACTS[name]] * len(rows))
        again = rng.choice(num, max(1, num // 100), replace=False)
        facts.digests["pixel_id"][again] = facts.digests["pixel_id"][again - 1]
        for name, numbers in facts.numbers.items():
            numbers[:] = _FACTS[name]
        return facts

    scan.list_files, scan.inspect_with_engine = list_all, inspect_all  # type: ignore[assignment]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        images, before = Path(scratch) / "images", time.monotonic()
        images.mkdir()
        scan.run_scan(Workspace(Path(scratch) / "work"), images, ScanSettings(near_radius=0), RunOptions())
        return time.monotonic() - before


def in_a_process(search: Callable[[int], float], num: int) -> dict[str, object]:
    """Seconds and peak memory of a search, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        seconds, own_mb = pool.submit(watched, search, num).result()
    return {"command": search.__name__, "seconds": seconds, "peak_mb": own_mb}


def watched(search: Callable[[int], float], num: int) -> tuple[float, float]:
    """Seconds that a search says it took, and the peak memory of this process."""
    with MemoryWatch(os.getpid()) as watch:
        return search(num), watch.own_mb


def search_hashes(num: int) -> float:
    """Seconds of the search among `num` pictures' hashes."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (num, NUM_HASHES, HASH_BYTES), dtype=np.uint8)
    near = 1 + 2 * rng.choice(num // 2, max(1, num // 100), replace=False)  # no picture beside one that is changed
    hashes[near, 0] = hashes[near - 1, 0] ^ (rng.random(hashes[near, 0].shape) < 0.2).astype(np.uint8)  # some 3 bits
    before = time.monotonic()
    own, colours = hashes[:, :NUM_TURNS], hashes[:, NUM_TURNS, :NUM_COLOURS]
    pairs = find_near_pairs(own, ScanSettings.near_radius, MOST_CANDIDATES, colours)
    assert len(pairs) >= len(near), "a planted near duplicate was not found"
    return time.monotonic() - before


def search_keypoints(num: int) -> float:
    """Seconds of the search among `num` pictures' keypoints."""
    rng = np.random.default_rng(0)
    points = np.zeros(num * MAX_KEYPOINTS, dtype=KEYPOINT)
    points["code"] = rng.integers(0, 1 << 32, len(points), dtype=np.uint32)
    points["weak"] = rng.integers(0, 32, (len(points), 4), dtype=np.uint8)
    points["place"] = rng.integers(PLACE_UNIT // 20, PLACE_UNIT, (len(points), 3), dtype=np.uint16)
    owner = np.repeat(np.arange(num, dtype=np.int32), MAX_KEYPOINTS)
    before = time.monotonic()
    match_keypoints(points, owner, np.ones(num), MOST_CANDIDATES)
    return time.monotonic() - before


def describe(file: FoundFile, picture: int) -> list[list[object]]:
    """A row of the scan's cache: the file, and what it shows."""
    ids = {"image_id": sha256(file.name.encode()).hexdigest(), "pixel_id": sha256(b"%d" % picture).hexdigest()}
    return [[file.name, file.size, file.mtime_ns], list((_FACTS | ids).values())]


if __name__ == "__main__":
    main()
