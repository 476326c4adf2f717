"""How time and memory of the label passes grow with the number of images.

    python benchmarks/label_scale.py [--images 10000 100000 1000000] [--classes 5000] [--dim 256] [--csv FILE]

Synthetic embeddings of so many images in 5,000 classes, 10 % wrong labels, closed-form heads, through the coarse pass
and (without --coarse-only) the rule auto, in a process of its own for each size. One table: seconds, peak memory,
seconds per image against the smallest size, F1 of what the recipe finds and of what auto drops. --csv writes seconds
and peak memory for plot_growth.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scores import precision_recall_f1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=5_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--coarse-only", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        row = run_labels(args.one, args.classes, args.dim, with_rule=not args.coarse_only)
        row["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(row))
        return
    rows = []
    for size in args.images:
        command = [sys.executable, __file__, "--one", str(size), "--classes", str(args.classes), "--dim", str(args.dim)]
        command += ["--coarse-only"] * args.coarse_only
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({"images": size} | json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    per_image = table["coarse_seconds"] / table["images"]
    table["coarse_growth"] = per_image / per_image[0]
    print(table.to_string(index=False, float_format="%.3f"))
    if args.csv:
        grown = {"rows": table["images"], "seconds": table["coarse_seconds"], "peak_mb": table["peak_gb"] * 1024}
        pd.DataFrame(grown).assign(command="labels, coarse pass").to_csv(args.csv, index=False)


def run_labels(num: int, num_classes: int, dim: int, *, with_rule: bool) -> dict[str, float]:
    """The coarse pass, then the rule, over one synthetic set."""
    from cleaner.dataset.store import ArrayStore
    from cleaner.modeling.closed_form import ClosedFormLearner
    from cleaner.progress import Silent
    from cleaner.scoring.groups import assign_folds
    from cleaner.stages.labels.fits import LabelSet, StoredFits
    from cleaner.stages.labels.issue_estimate import estimate_issues
    from cleaner.stages.labels.passes import run_pass

    views, right, given = synthetic(num, num_classes, dim)
    rows = np.arange(num)
    labels = LabelSet(
        targets=given,
        fold=assign_folds(rows, given, 5, np.random.default_rng(0)),
        groups=rows,
        learns=np.ones(num, bool),
        decided=np.full(num, -1),
        num_classes=num_classes,
        identity="scale",
    )
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        learner = ClosedFormLearner(views, num_classes)
        fits = StoredFits(labels, learner, 0, ArrayStore(Path(scratch)), Silent())
        this = run_pass(fits, rows, top_k=5, max_rounds=8)
        coarse = time.monotonic() - started
        wrong = given != right
        row = {"coarse_seconds": coarse, "coarse_f1": precision_recall_f1(~this.positive, wrong)[2]}
        if with_rule:
            estimate = estimate_issues(fits, this.rounds[0].predictions)
            row["rule_seconds"] = time.monotonic() - started - coarse
            row["auto_f1"] = precision_recall_f1(estimate.flagged, wrong)[2]
    return row


def synthetic(num: int, num_classes: int, dim: int) -> tuple[object, np.ndarray, np.ndarray]:
    """Embeddings in clusters with neighbours, right and given labels, 10 % wrong."""
    from cleaner.modeling.embeddings import Embeddings

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(num_classes, dim)).astype(np.float32)
    right = rng.integers(0, num_classes, num)
    given = np.where(rng.random(num) < 0.1, rng.integers(0, num_classes, num), right)
    views = [np.empty((num, dim), np.float16) for _ in range(2)]
    for start in range(0, num, 65_536):
        part = slice(start, start + 65_536)
        base = centres[right[part]] + 1.5 * rng.normal(size=(len(right[part]), dim)).astype(np.float32)
        for view in views:
            view[part] = base + 0.3 * rng.normal(size=base.shape).astype(np.float32)
    return Embeddings(*views), right, given


if __name__ == "__main__":
    main()
