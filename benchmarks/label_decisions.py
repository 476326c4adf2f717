"""The trial of the label rule: ours against cleanlab's seven filters on the very same out-of-fold probabilities.

    python benchmarks/label_decisions.py DATA [--sets NAME …] [--seeds 0 1 2] [--part test|tune] [--backbone NAME] …

DATA is the folder with the packs (../shared/data). Sets: cifar10n under its human labels (aggre, random1), tiny50 with
symmetric, similar and pair noise of 0, 10, 20, 40 % (sym20, sim40, …), each also with a long tail of 20 (sym20t), and
the real photographs grocery, objects and trash with 0, 5, 10, 20 % (grocery-sim20).
Labels are flipped as lay_out.py does, embeddings computed once. Each seed draws flips and folds anew. cleanlab gets the
whole matrix of round 0; the best of its seven filters is chosen with the truth known: an oracle. Ours: the rule `auto`
with its default settings, and the plain recipe's drops. Figures are of `--part` (lay_out.py), F1 of rows dropped.
--heads closed-form takes the heads that a stage takes for very many images x classes. Columns:

  cleanlab, which  the best filter's F1, and its name; default: prune_by_noise_rate
  fair, fair_which cleanlab on a logistic regression on the same features, its C and the filter chosen on the other part
  top1             given label not predicted
  auto, recipe     ours; P, R, AP: precision, recall, average precision; ceiling: best F1 at any threshold
  clean            share of right images wrongly removed, by us and by cleanlab's best
  head             accuracy on the clean test images of a head trained on what was kept: raw, cleanlab's best, ours
  calib            largest gap between mean probability and share truly wrong, over ten bins of 200 images at least
  chance           what that gap would be on average were the probabilities exact: bins are small
  ece              expected calibration error: the gaps of those bins, weighted by their images
  calib300, ece300 the same after 300 right verdicts, drawn evenly over the bins as `cleaner review calibration` does,
                   and the rule run again with them; of images without a verdict
  sugg, cover      share of suggestions above RELABEL_ABOVE that are right, and the share of wrong labels they cover
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cleanlab.filter import find_label_issues
from fair_best import fair_best
from label_sets import BACKBONES, KINDS, load
from scores import CLEANLAB_FILTERS, best_f1
from sklearn.metrics import average_precision_score

from cleaner.config import RELABEL_ABOVE, EmbeddingSettings
from cleaner.dataset.store import ArrayStore
from cleaner.modeling.backbones import load_backbones, resolve_precision
from cleaner.modeling.closed_form import ClosedFormLearner
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.learner import FitJob, Predictor
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.progress import Silent
from cleaner.scoring.expected_precision import choose_drops
from cleaner.scoring.groups import assign_folds
from cleaner.scoring.label_quality import find_spared_classes
from cleaner.scoring.out_of_fold import OutOfFold
from cleaner.stages.labels.fits import LabelSet, StoredFits
from cleaner.stages.labels.issue_estimate import estimate_issues
from cleaner.stages.labels.passes import run_pass

PRECISION = resolve_precision("auto", torch.device("cpu"))
NUM_VERDICTS = 300
PHOTOS = ("grocery", "objects", "trash")
SETS = ["aggre", "random1", "clean", "cleant"] + [
    f"{kind}{rate}{tail}" for tail in ("", "t") for kind in KINDS for rate in (10, 20, 40)
]
PHOTO_SETS = [
    f"{name}-{body}" for name in PHOTOS for body in ["clean"] + [f"{k}{r}" for k in KINDS for r in (5, 10, 20)]
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS + PHOTO_SETS, default=SETS + PHOTO_SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--part", choices=["tune", "test"], default="test")
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-label-decisions"))
    parser.add_argument("--backbone", default=EmbeddingSettings().backbone)
    parser.add_argument("--heads", choices=["steps", "closed-form"], default="steps")
    args = parser.parse_args()
    BACKBONES.extend(load_backbones(EmbeddingSettings(backbone=args.backbone)))
    rows = []
    for name in args.sets:
        for seed in args.seeds:
            row = {"set": name, "seed": seed} | trial(
                args.data, name, seed, args.part, args.work, closed_form=args.heads == "closed-form"
            )
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    numbers = table.drop(columns=["seed", "which", "fair_which"]).groupby("set", sort=False)
    mean, std = numbers.mean(), numbers.std(ddof=1).fillna(0)
    shown = mean.map("{:.3f}".format) + std.map(" ±{:.3f}".format)
    for place, column in ((1, "which"), (4, "fair_which")):
        shown.insert(place, column, table.groupby("set", sort=False)[column].agg(lambda w: "/".join(sorted(set(w)))))
    with pd.option_context("display.width", 400, "display.max_columns", 50):
        print(shown.T.to_string())


def trial(data: Path, name: str, seed: int, part: str, work: Path, *, closed_form: bool = False) -> dict[str, object]:
    """One set under one seed; cleanlab's fair best is on the features of heads by steps."""
    views, given, clean, is_tune, test_views, test_clean = load(data, name, seed, work)
    classes, targets = np.unique(given, return_inverse=True)
    right = np.searchsorted(classes, clean)
    counts = is_tune if part == "tune" else ~is_tune
    wrong = targets != right
    num_classes = len(classes)
    probe = ProbeLearner(views, num_classes, PRECISION)
    learner = ClosedFormLearner(views, num_classes) if closed_form else probe
    rows = np.arange(len(targets))
    fold = assign_folds(rows, targets, 5, np.random.default_rng([seed, 3]))
    labels = LabelSet(targets, fold, rows, np.ones(len(rows), bool), np.full(len(rows), -1), num_classes, name)
    images = FoldedRows(rows, targets, fold, np.ones(len(rows), np.float32))
    zero, models = cross_train(learner, images, learner.recipes[0], seed=seed)
    probs = out_of_fold(models, fold, num_classes)
    with tempfile.TemporaryDirectory() as scratch:
        fits = StoredFits(labels, learner, seed, ArrayStore(Path(scratch)), Silent())
        estimate = estimate_issues(fits, zero)
        reviewed = draw_evenly(estimate.issue_prob, NUM_VERDICTS, np.random.default_rng([seed, 7]))
        told = replace(labels, decided=np.where(reviewed, right, -1))
        mended = estimate_issues(replace(fits, labels=told), zero).issue_prob
        recipe = recipe_drops(fits, zero)
    auto = choose_drops(estimate.issue_prob, estimate.flagged, targets, num_classes).drops
    theirs = {f: find_label_issues(targets, probs, filter_by=f, n_jobs=1) for f in CLEANLAB_FILTERS}
    if wrong.any():
        best = max(CLEANLAB_FILTERS, key=lambda f: prf(theirs[f], wrong, counts)[2])
    else:
        best = min(CLEANLAB_FILTERS, key=lambda f: theirs[f][counts].mean())
    fair = fair_best(probe.features("plain", rows).numpy(), targets, fold, wrong, chosen_on=~counts)
    score = estimate.issue_prob
    p, r, f1 = prf(auto, wrong, counts)
    row: dict[str, object] = {
        "cleanlab": prf(theirs[best], wrong, counts)[2],
        "which": best,
        "cleanlab_default": prf(theirs[CLEANLAB_FILTERS[0]], wrong, counts)[2],
        "fair": prf(fair.flagged, wrong, counts)[2],
        "fair_which": fair.which,
        "top1": prf(probs.argmax(1) != targets, wrong, counts)[2],
        "recipe": prf(recipe, wrong, counts)[2],
        "auto": f1,
        "auto_P": p,
        "auto_R": r,
        "AP0": ranking(1 - probs[rows, targets], wrong, counts)[0],
        "ceiling0": ranking(1 - probs[rows, targets], wrong, counts)[1],
        "AP": ranking(score, wrong, counts)[0],
        "ceiling": ranking(score, wrong, counts)[1],
        "threshold": estimate.threshold,
        "clean": float(auto[counts & ~wrong].mean()),
        "clean_cleanlab": float(theirs[best][counts & ~wrong].mean()),
        "clean_fair": float(fair.flagged[counts & ~wrong].mean()),
        "clean_recipe": float(recipe[counts & ~wrong].mean()),
    }
    for kept_by, drop in (("raw", np.zeros(len(rows), bool)), ("cleanlab", theirs[best]), ("auto", auto)):
        row[f"head_{kept_by}"] = head_accuracy(views, targets, drop, test_views, np.searchsorted(classes, test_clean))
    row["calib"], row["ece"] = calibration_gap(score[counts], wrong[counts])
    rng = np.random.default_rng(seed)
    draws = [calibration_gap(score[counts], rng.random(counts.sum()) < score[counts])[0] for _ in range(100)]
    row["chance"] = float(np.mean(draws))
    unseen = counts & ~reviewed
    row["calib300"], row["ece300"] = calibration_gap(mended[unseen], wrong[unseen])
    sure = counts & auto & (estimate.noise.suggested_prob >= RELABEL_ABOVE)
    row["sugg"] = float((estimate.noise.suggested == right)[sure].mean()) if sure.any() else 1.0
    row["cover"] = float((sure & wrong).sum() / max(1, (wrong & counts).sum()))
    row["rounds"] = len(estimate.rounds) - 1
    return row


def recipe_drops(fits: StoredFits, zero: OutOfFold) -> np.ndarray:
    """What the plain recipe drops: coarse label issues, or fine ones where the coarse pass would be skipped."""
    labels = fits.labels
    top_k = 5 if labels.num_classes > 2 * 5 else 1
    negative = run_pass(fits, np.arange(len(labels.targets)), top_k=top_k, max_rounds=8, predictions=zero).negative
    return negative & ~find_spared_classes(labels.targets, ~negative, labels.num_classes)[labels.targets]


def out_of_fold(models: list[Predictor], fold: np.ndarray, num_classes: int) -> np.ndarray:
    """The whole matrix of round 0, (N, K) float64, for cleanlab."""
    probs = np.zeros((len(fold), num_classes))
    for f, model in enumerate(models):
        mine = np.flatnonzero(fold == f)
        for part, values in model.predict(mine):
            probs[mine[part]] = values
    return probs / probs.sum(1, keepdims=True)


def head_accuracy(
    views: Embeddings, targets: np.ndarray, dropped: np.ndarray, test_views: Embeddings, test_targets: np.ndarray
) -> float:
    """Accuracy on the clean test images of a head trained on what was not dropped."""
    both = Embeddings.of_views([np.concatenate(v) for v in zip(views.views, test_views.views, strict=True)])
    num_classes = int(targets.max()) + 1
    learner = ProbeLearner(both, num_classes, PRECISION)
    kept = np.flatnonzero(~dropped)
    job = FitJob(
        rows=kept,
        targets=targets[kept],
        sample_weights=np.ones((1, len(kept)), np.float32),
        num_classes=num_classes,
        recipe=PROBE_RECIPES[1],
        seed=0,
    )
    (model,) = learner.fit(job)
    test_rows = len(targets) + np.arange(len(test_targets))
    found = np.concatenate([probs.argmax(1) for _, probs in model.predict(test_rows)])
    return float((found == test_targets).mean())


def prf(found: np.ndarray, true: np.ndarray, counts: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 over the rows that count."""
    hits = int((found & true & counts).sum())
    precision, recall = hits / max(1, (found & counts).sum()), hits / max(1, (true & counts).sum())
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def ranking(score: np.ndarray, wrong: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Average precision, and the best F1 at any threshold."""
    score, wrong = score[counts], wrong[counts]
    if not wrong.any():
        return float("nan"), float("nan")
    return float(average_precision_score(wrong, score)), best_f1(score, wrong)


def calibration_gap(prob: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """Gaps between mean probability and share wrong over ten bins, those under 200 images joined to the next.

    The largest gap, and the mean over all images.
    """
    bins = np.minimum((prob * 10).astype(int), 9)
    gap, total, pending = 0.0, 0.0, np.zeros(len(prob), bool)
    for number in range(10):
        pending |= bins == number
        if pending.sum() >= 200:
            this = abs(float(prob[pending].mean() - wrong[pending].mean()))
            gap, total = max(gap, this), total + this * pending.sum()
            pending = np.zeros(len(prob), bool)
    return gap, total / len(prob)


def draw_evenly(prob: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: `num` rows in all, as many from each tenth of the probability as it has, up to a tenth of them."""
    tenth = np.minimum((prob * 10).astype(int), 9)
    drawn = np.zeros(len(prob), bool)
    for number in range(10):
        there = np.flatnonzero(tenth == number)
        drawn[rng.choice(there, min(num // 10, len(there)), replace=False)] = True
    return drawn


if __name__ == "__main__":
    main()
