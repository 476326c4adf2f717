"""What `--engine ray` costs on one machine: the same run with both engines, fresh workspaces, equal manifests.

    python benchmarks/ray_overhead.py IMAGES [--workers 1] [--rounds 1] [OPTIONS OF cleaner run …]

One row a run; then the medians, the overhead, and whether the manifests are the same byte for byte. Compare like with
like: as many torch threads (OMP_NUM_THREADS) as --workers, or Ray runs several shards at once where local runs one.
"""

from __future__ import annotations

import argparse
import filecmp
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("scan", "noise", "labels", "balance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--rounds", type=int, default=1)
    arguments, rest = parser.parse_known_args()
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    equal = True
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for engine in seconds:
                work = Path(folder, f"{engine}{number}")
                command = [sys.executable, "-m", "cleaner", "run", str(arguments.images), "-C", str(work), "-q"]
                begun = time.monotonic()
                subprocess.run([*command, "--workers", arguments.workers, "--engine", engine, *rest], check=True)
                seconds[engine].append(time.monotonic() - begun)
                print(f"{engine:<6} {seconds[engine][-1]:8.1f} s", flush=True)
            pairs = [[Path(folder, f"{e}{number}", s, "manifest.parquet") for e in seconds] for s in STAGES]
            equal &= all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
    local, ray = (statistics.median(times) for times in seconds.values())
    print(f"median: local {local:.1f} s, ray {ray:.1f} s: {ray / local - 1:+.1%}; equal manifests: {equal}")


if __name__ == "__main__":
    main()
