"""The rule on strong models' predictions: ours against argmax and cleanlab's filters on the very same probabilities.

    python benchmarks/published_predictions.py DATA [--part test|tune]

DATA is the folder with published_predictions.parquet (../shared/data): out-of-fold probabilities of CIFAR-10's 50,000
training images by fine-tuned networks, published with cleanlab's label-error benchmark. Nothing is trained and no image
is read. F1 of wrong labels over the rows of `--part`; what uses probabilities sees all rows. Columns:

  argmax           given label not predicted
  default, filter  cleanlab's default, and the best of its seven filters, chosen with the truth known; which: its name
  ours, P, R       what the estimate flags; precision, recall
  best             the best F1 of our ranking at any threshold
  expected, wrong  expected and true share of wrong labels
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from scores import CLEANLAB_FILTERS, best_f1, precision_recall_f1

from cleaner.dataset.predictions import BroughtPredictions
from cleaner.scoring.held_out import HeldOut, predict_held_out
from cleaner.scoring.issue_probability import find_f1_threshold
from cleaner.scoring.label_noise import NoiseEstimate
from cleaner.scoring.out_of_fold import UNDECIDED


class Published(NamedTuple):
    """One network's predictions under one label set."""

    name: str
    probs: np.ndarray
    """(50000, 10) float64, rows sum to 1."""
    given: np.ndarray
    clean: np.ndarray
    """(50000,) int64 class numbers."""
    is_test: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=["tune", "test"], default="test")
    args = parser.parse_args()
    table = pd.DataFrame([trial(p, args.part) for p in read(args.data)]).set_index("set")
    table.loc["mean"] = table.mean(numeric_only=True)
    with pd.option_context("display.width", 200, "display.max_columns", 50):
        print(table.to_string(float_format="{:.3f}".format, na_rep=""))


def read(data: Path) -> Iterator[Published]:
    """All published sets of predictions."""
    frame = pd.read_parquet(data / "published_predictions.parquet")
    columns = [c for c in frame.columns if c.startswith("p_")]
    classes = [c.removeprefix("p_") for c in columns]
    for (labels, model), rows in frame.groupby(["set", "model"], observed=True):
        probs = rows[columns].to_numpy().astype(np.float64)
        given, clean = (pd.Categorical(rows[c], classes).codes.astype(np.int64) for c in ("given", "clean"))
        is_test = (rows["part"] == "test").to_numpy()
        yield Published(f"{labels}/{model}", probs / probs.sum(1, keepdims=True), given, clean, is_test)


def trial(this: Published, part: str) -> dict[str, object]:
    """One row of the table."""
    counts = this.is_test if part == "test" else ~this.is_test
    wrong = (this.given != this.clean)[counts]

    def f1(found: np.ndarray) -> float:
        return precision_recall_f1(found[counts], wrong)[2]

    filters = {f: f1(find_label_issues(this.given, this.probs, filter_by=f, n_jobs=1)) for f in CLEANLAB_FILTERS}
    which = max(filters, key=lambda f: filters[f])
    issue_prob = estimate(this)
    flagged = issue_prob > find_f1_threshold(issue_prob)
    precision, recall, ours = precision_recall_f1(flagged[counts], wrong)
    return {
        "set": this.name,
        "argmax": f1(this.probs.argmax(1) != this.given),
        "default": filters[CLEANLAB_FILTERS[0]],
        "filter": filters[which],
        "which": which,
        "ours": ours,
        "P": precision,
        "R": recall,
        "best": best_f1(issue_prob[counts], wrong),
        "expected": issue_prob[counts].mean(),
        "wrong": wrong.mean(),
    }


def estimate(this: Published) -> np.ndarray:
    """Our probability that each label is wrong, (50000,) float32, as `cleaner labels --pred-probs` estimates it."""
    num, num_classes = this.probs.shape
    rows, scorable = np.arange(num), np.ones(num_classes, bool)
    brought = BroughtPredictions((this.probs,), (rows,), np.arange(num_classes))
    predictions = predict_held_out(brought, HeldOut(rows, this.given, scorable, num_classes - 1))
    return NoiseEstimate(predictions, num_classes, np.full(num, UNDECIDED), trusted=True).final().issue_prob


if __name__ == "__main__":
    main()
