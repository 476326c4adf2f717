"""Wrong labels: our passes against cleanlab's seven filters, on the very same out-of-fold probabilities.

    python benchmarks/against_cleanlab.py FOLDER …

FOLDER: sets that benchmarks/quality.py has laid out and run (truth.csv, train/, work/). Cross-trains the rows that
labels judged, in labels' own folds and with its first recipe, gives cleanlab the whole matrix, and prints one table of
F1 on the `test` part of truth.csv: of cleanlab's default filter, of its best one (chosen with the truth known: an
oracle), and of our label issues.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from quality import prec_rec

from cleaner.config import EmbeddingSettings, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.crossval import log_priors
from cleaner.modeling.learner import PROBE_RECIPES
from cleaner.modeling.probe import ProbeLearner
from cleaner.stages.inputs import embed_rows

FILTERS = (
    "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given",
    "low_normalized_margin", "low_self_confidence",
)  # fmt: skip


def main() -> None:
    rows = []
    for name in sys.argv[1:]:
        row = compare(Path(name))
        rows.append(row)
        print(row, file=sys.stderr)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f", na_rep=""))


def compare(folder: Path) -> dict[str, object]:
    """F1 of each method on one set."""
    workspace = Workspace(folder / "work")
    manifest = workspace.read("labels")
    judged = manifest[manifest["fold"] >= 0].reset_index(drop=True)
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype=str).set_index("file_name")
    truth = truth.loc[judged["file_name"]]
    counts = (truth["part"] == "test").to_numpy() & (truth["is_noise_image"] != "True").to_numpy()
    wrong = (truth["given_label"] != truth["clean_label"]).to_numpy()
    labels, classes = pd.factorize(judged["label"], sort=True)
    probs = cross_train(workspace, folder, judged, labels.astype(np.int64), len(classes))
    scores = {}
    for name in FILTERS:
        scores[name] = f1(find_label_issues(labels, probs, filter_by=name, n_jobs=1)[counts], wrong[counts])
    best = max(scores, key=lambda k: scores[k])
    issue = judged["label_issue"].to_numpy()
    return {
        "set": folder.name,
        "cleanlab default": scores["prune_by_noise_rate"],
        "cleanlab best": scores[best],
        "which": best,
        "coarse": f1((issue == "coarse")[counts], wrong[counts]) if "coarse" in issue else np.nan,
        "coarse or fine": f1((issue != "")[counts], wrong[counts]),
    }


def cross_train(workspace: Workspace, folder: Path, judged: pd.DataFrame, labels: np.ndarray, num: int) -> np.ndarray:
    """Out-of-fold probabilities (N, K) float64 of round 0."""
    backbone = load_backbone(EmbeddingSettings())
    learner = ProbeLearner(embed_rows(workspace, folder / "train", judged, backbone, RunOptions()), num)
    fold = judged["fold"].to_numpy()
    weights = np.stack([(fold != f).astype(np.float32) for f in range(fold.max() + 1)])
    rows = np.arange(len(judged))
    prior = log_priors(labels, weights, num)
    models = learner.fit(rows, labels, sample_weights=weights, log_prior=prior, recipe=PROBE_RECIPES[0], seed=0)
    probs = np.zeros((len(judged), num))
    for f, model in enumerate(models):
        mine = np.flatnonzero(fold == f)
        for part, values in model.predict(mine):
            probs[mine[part]] = values
    return probs / probs.sum(1, keepdims=True)


def f1(found: np.ndarray, true: np.ndarray) -> float:
    """Harmonic mean of precision and recall."""
    precision, recall = prec_rec(found, true)
    return 2 * precision * recall / max(precision + recall, 1e-9)


if __name__ == "__main__":
    main()
