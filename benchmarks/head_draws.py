"""How far heads by steps have to be trained: the label rule where a fit may draw so many images of each class.

    python benchmarks/head_draws.py DATA [--sets NAME …] [--seeds 0] [--draws 100 200 400 1000] [--backbone NAME]

DATA is the folder with the packs (../shared/data); sets, truth and columns are those of label_decisions.py. A batch has
as many images as there are classes, as with a thousand classes of a large set; `draws`: images of each class that a fit
may draw in all, but no more than its epochs have. 0 is a fit as a stage does it on this set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from label_decisions import PHOTO_SETS, PRECISION, SETS, calibration_gap, prf, ranking
from label_sets import BACKBONES, load

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import ArrayStore
from cleaner.modeling import drawn_rows, probe
from cleaner.modeling.backbones import load_backbones
from cleaner.modeling.probe import ProbeLearner
from cleaner.progress import Silent
from cleaner.scoring.expected_precision import choose_drops
from cleaner.scoring.groups import assign_folds
from cleaner.stages.labels.fits import LabelSet, StoredFits
from cleaner.stages.labels.issue_estimate import estimate_issues

ORIGINAL = (probe._BATCH_SIZES, drawn_rows._DRAWS_PER_CLASS, drawn_rows._LEAST_DRAWS)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS + PHOTO_SETS, default=["sim20", "sym20"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 100, 200, 400, 1000])
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-label-decisions"))
    parser.add_argument("--backbone", default=EmbeddingSettings().backbone)
    args = parser.parse_args()
    BACKBONES.extend(load_backbones(EmbeddingSettings(backbone=args.backbone)))
    rows = []
    for name in args.sets:
        for seed in args.seeds:
            for draws in args.draws:
                row = {"set": name, "seed": seed, "draws": draws}
                rows.append(row | trial(args.data, name, seed, args.work, draws))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    means = pd.DataFrame(rows).groupby(["set", "draws"], sort=False).mean().drop(columns="seed")
    print(means.to_string(float_format="%.3f"))


def trial(data: Path, name: str, seed: int, work: Path, draws: int) -> dict[str, object]:
    """The rule over one set, its fits within `draws` images of each class."""
    views, given, clean, is_tune, _, _ = load(data, name, seed, work)
    classes, targets = np.unique(given, return_inverse=True)
    wrong, counts, num_classes = classes[targets] != clean, ~is_tune, len(classes)
    probe._BATCH_SIZES, drawn_rows._DRAWS_PER_CLASS, drawn_rows._LEAST_DRAWS = ORIGINAL
    if draws:
        probe._BATCH_SIZES = (num_classes, num_classes)
        drawn_rows._DRAWS_PER_CLASS, drawn_rows._LEAST_DRAWS = draws, 0
    began = time.monotonic()
    learner, rows = ProbeLearner(views, num_classes, PRECISION), np.arange(len(targets))
    fold = assign_folds(rows, targets, 5, np.random.default_rng([seed, 3]))
    labels = LabelSet(targets, fold, rows, np.ones(len(rows), bool), np.full(len(rows), -1), num_classes, name)
    with tempfile.TemporaryDirectory() as scratch:
        fits = StoredFits(labels, learner, seed, ArrayStore(Path(scratch)), Silent())
        zero, _ = fits.cross_train_as_given(rows, "round 0")
        estimate = estimate_issues(fits, zero)
    auto = choose_drops(estimate.issue_prob, estimate.flagged, targets, num_classes).drops
    precision, recall, f1 = prf(auto, wrong, counts)
    return {
        "auto": f1,
        "auto_P": precision,
        "auto_R": recall,
        "AP0": ranking(-zero.self_confidence, wrong, counts)[0],
        "AP": ranking(estimate.issue_prob, wrong, counts)[0],
        "clean": float(auto[counts & ~wrong].mean()),
        "calib": calibration_gap(estimate.issue_prob[counts], wrong[counts])[0],
        "seconds": time.monotonic() - began,
    }


if __name__ == "__main__":
    main()
