"""`cleaner labels --pred-probs` on published predictions: what the program drops, and how long it takes.

    python benchmarks/pred_probs_tree.py DATA [--only worst …] [--part test|tune] [--work DIR]

For each label set and network of published_predictions.py, 50,000 distinct small pictures are laid out in class folders
by the given label, and scanned; the network's predictions are written as people would write them and brought to
`cleaner labels`. Only scan reads the pictures. F1 of wrong labels of what the command dropped, and of what the estimate
flags in published_predictions.py; their difference; seconds and peak memory of the command.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from published_predictions import estimate, read
from scores import precision_recall_f1

from cleaner.scoring.issue_probability import find_f1_threshold

_SIDE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="sets and networks whose name begins with any of these")
    parser.add_argument("--part", choices=["tune", "test"], default="test")
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-published-predictions"))
    args = parser.parse_args()
    print("set/network                 program  in process  difference  seconds     MB")
    for this in read(args.data):
        if not this.name.startswith(tuple(args.only)):
            continue
        work, counts = args.work / this.name.replace("/", "_"), this.is_test == (args.part == "test")
        names = lay_out(work, [f"{label:02d}" for label in this.given])
        dropped, seconds, megabytes = drop_by_program(work, names, this.probs)
        issue_prob, wrong = estimate(this), (this.given != this.clean)[counts]
        flagged = issue_prob > find_f1_threshold(issue_prob)
        program, inside = (precision_recall_f1(found[counts], wrong)[2] for found in (dropped, flagged))
        shown = f"{program:>8.4f}{inside:>12.4f}{program - inside:>12.4f}{seconds:>9.1f}{megabytes:>7.0f}"
        print(this.name.ljust(27), shown, flush=True)


def lay_out(work: Path, labels: list[str]) -> list[str]:
    """Draw a small picture for each of the `labels` below work/images, all different, and scan them; their names."""
    names = [f"{label}/{number:05d}.png" for number, label in enumerate(labels)]
    if not (work / "scan" / "stage.json").exists():
        rng = np.random.default_rng(0)
        for name in names:
            path = work / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)).save(path, compress_level=0)
        run_program("scan", work / "images", "--near-radius", 0, "-C", work)
    return names


def drop_by_program(work: Path, names: list[str], probs: np.ndarray) -> tuple[np.ndarray, float, float]:
    """What `cleaner labels --pred-probs` drops (n,) bool, the seconds that it took and its peak memory in MB."""
    shuffled = np.random.default_rng(1).permutation(len(names))
    np.save(work / "probs.npy", probs[shuffled].astype(np.float16))
    (work / "ids.txt").write_text("".join(f"{names[i]}\n" for i in shuffled))
    files = ("--pred-probs", work / "probs.npy", "--pred-ids", work / "ids.txt")
    seconds, megabytes = run_program("labels", *files, "--force", "-C", work)
    manifest = pd.read_parquet(work / "labels" / "manifest.parquet").set_index("file_name").loc[names]
    return manifest["drop_reason"].str.startswith("label_issue").to_numpy(), seconds, megabytes


def run_program(*arguments: object) -> tuple[float, float]:
    """Run cleaner in a process of its own: seconds, and peak memory in MB."""
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "cleaner", *map(str, arguments), "-q"])
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"cleaner {arguments[0]} failed")
    return time.monotonic() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
