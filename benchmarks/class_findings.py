"""Planted classes in tiny50: three jumbles and three classes split in two. Are they named, and is anything else?

    python benchmarks/class_findings.py DATA [--sets clean sym20 sim20 cleant] [--plants none inside outside]
                                             [--seeds 0 1 2 3 4] [--part test|tune] [--work DIR]

DATA is the folder with the packs (../shared/data). Sets: tiny50 as it is, with label noise, with a long tail of 20
(label_decisions.py). Plants, on top of a set's labels, six classes drawn anew for each seed:

  inside   a jumble's images give way to as many random images of the other classes, moved there
  outside  they give way to images of fifteen classes that are then nowhere else in the set
  none     nothing is planted: whatever is named is false

A split class's images are divided at random under two labels. Thresholds were chosen on `--part tune` (planted classes
of even number, seeds 0 and 1), figures are of `test` (odd numbers). A class counts as named with the right finding; a
split class with its own other half. Named otherwise, or a pair that is none: false (a pair counts once).
Margins: `jumble` the highest recognition of a jumble, `sound` the lowest of a sound class with its mates, both over
the median class; `split` the highest upper bound of a split's AUC, `pair` the lowest AUC of any other pair.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from label_sets import load

from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.scoring.class_findings import ClassFindings, find_class_findings
from cleaner.scoring.groups import assign_folds

HALF = " (other half)"
NUM_OUTSIDE = 15


@dataclass(frozen=True)
class Planted:
    """A set with its planted classes."""

    given: np.ndarray
    kept: np.ndarray
    jumbles: list[str]
    splits: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["clean", "sym20", "sim20", "cleant"])
    parser.add_argument("--plants", nargs="+", choices=["none", "inside", "outside"], default=None)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--part", choices=["tune", "test"], default="test")
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-label-decisions"))
    args = parser.parse_args()
    rows = []
    for name in args.sets:
        for kind in args.plants or ["none", "inside", "outside"]:
            for seed in args.seeds:
                row = {"set": name, "planted": kind, "seed": seed}
                row |= trial(args.data, name, kind, seed, args.part, args.work)
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    table = (
        pd.DataFrame(rows)
        .groupby(["set", "planted"], sort=False)
        .agg(
            runs=("seed", "count"),
            planted_classes=("planted_classes", "sum"),
            jumbles=("jumbles", "sum"),
            splits=("splits", "sum"),
            false=("false", "sum"),
            worst_named=("named", "min"),
            worst_false=("false", "max"),
            jumble=("jumble", "max"),
            sound=("sound", "min"),
            split=("split", "max"),
            pair=("pair", "min"),
        )
    )
    with pd.option_context("display.width", 200, "display.max_columns", 50, "display.precision", 3):
        print(table.to_string())


def trial(data: Path, name: str, kind: str, seed: int, part: str, work: Path) -> dict[str, object]:
    """One set, planted and judged under one seed."""
    views, given, clean, _, _, _ = load(data, name, seed, work)
    classes = sorted(set(clean))
    planted = plant(given.astype(object), kind, classes[::2] if part == "tune" else classes[1::2], seed)
    views = Embeddings(views.plain[planted.kept], views.mirrored[planted.kept])
    classes, targets = np.unique(planted.given[planted.kept].astype(str), return_inverse=True)
    rows = np.arange(len(targets))
    fold = assign_folds(rows, targets, 5, np.random.default_rng([seed, 3]))
    images = FoldedRows(rows, targets, fold, np.ones(len(rows), np.float32))
    predictions, _ = cross_train(ProbeLearner(views, len(classes)), images, PROBE_RECIPES[0], seed=seed)
    findings = find_class_findings(predictions, len(classes))
    return score(findings, list(classes), planted)


def plant(given: np.ndarray, kind: str, available: list[str], seed: int) -> Planted:
    """Plant three jumbles and three splits among the `available` classes."""
    kept = np.ones(len(given), bool)
    if kind == "none":
        return Planted(given, kept, [], [])
    rng = np.random.default_rng([seed, 77])
    chosen = [str(c) for c in rng.permutation(available)[:6]]
    jumbles, splits = chosen[:3], chosen[3:]
    sources = [c for c in sorted(set(given)) if c not in chosen]
    if kind == "outside":
        sources = list(rng.permutation(sources)[:NUM_OUTSIDE])
    sizes = [int((given == c).sum()) for c in jumbles]
    kept &= ~np.isin(given, jumbles)
    pool = rng.permutation(np.flatnonzero(np.isin(given, sources)))
    given = given.copy()
    for name, rows in zip(jumbles, np.split(pool, np.cumsum(sizes))[:3], strict=True):
        given[rows] = name
    if kind == "outside":
        kept &= ~np.isin(given, sources)
    for name in splits:
        mine = rng.permutation(np.flatnonzero(given == name))
        given[mine[: len(mine) // 2]] = name + HALF
    return Planted(given, kept, jumbles, splits)


def score(findings: ClassFindings, classes: list[str], planted: Planted) -> dict[str, object]:
    """Who is named, rightly and falsely, and by which margins."""
    whole = np.array([c.removesuffix(HALF) for c in classes], dtype=object)
    is_jumble, is_split = np.isin(whole, planted.jumbles), np.isin(whole, planted.splits)
    mate = findings.overlaps_with
    is_half = (mate >= 0) & (whole[mate] == whole) & is_split
    wrong_pairs = {frozenset((int(a), int(mate[a]))) for a in np.flatnonzero((mate >= 0) & ~is_half)}
    wrong_jumbles = findings.jumbled & ~is_jumble
    jumbles, splits = int((findings.jumbled & is_jumble).sum()), len(set(whole[is_half]))
    share = findings.recognised_with / np.median(findings.recognised_with)
    upper = findings.separability + 1.64 * findings.separability_error
    other = ~is_jumble & ~is_split
    return {
        "planted_classes": len(planted.jumbles) + len(planted.splits),
        "jumbles": jumbles,
        "splits": splits,
        "named": jumbles + splits,
        "false": int(wrong_jumbles.sum()) + len(wrong_pairs),
        "false_names": [classes[k] for k in np.flatnonzero(wrong_jumbles)]
        + [" / ".join(sorted(classes[k] for k in pair)) for pair in wrong_pairs],
        "jumble": float(share[is_jumble].max(initial=-np.inf)),
        "sound": float(share[~is_jumble].min()),
        "split": float(upper[is_split].max(initial=-np.inf)),
        "pair": float(findings.separability[other].min()),
    }


if __name__ == "__main__":
    main()
