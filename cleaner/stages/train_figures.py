"""Evaluates the network of `train`: metrics.json, and tables of classes, precision-recall curves and confusions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.stage_documents import METRICS, Metrics
from cleaner.dataset.store import write_json
from cleaner.dataset.tables import write_table_file
from cleaner.modeling.diagnosis import NormHealth
from cleaner.scoring.evaluation import SIZES, class_recalls, find_confusions, precision_recall, size_groups

_NUM_CONFUSIONS = 100


@dataclass(frozen=True)
class Figures:
    """A network's predictions on m held-out images, and the sizes of its training set."""

    classes: list[str]
    sizes: np.ndarray
    """(K,) int64: training images of each class."""
    sampled: np.ndarray
    """(K,) int64: images in an epoch, including repeats."""
    source: str
    """Where the held-out images come from."""
    targets: np.ndarray
    """(m,) int64."""
    predicted: np.ndarray
    """(m,) int64."""
    confidence: np.ndarray
    """(m,) float32: the probability of the predicted class."""
    losses: list[float]
    """Mean training loss of each epoch."""
    health: NormHealth | None

    @property
    def recalls(self) -> np.ndarray:
        """(K,) float64, NaN for a class without held-out images."""
        return class_recalls(self.targets, self.predicted, len(self.classes))

    @property
    def recall(self) -> float | None:
        """Mean recall over classes with held-out images; None without any."""
        return _mean(self.recalls)


def write_figures(folder: Path, figures: Figures) -> list[str]:
    """Write metrics.json and, with held-out images, classes.csv, pr_curves.csv and confusions.csv; return the names."""
    table, curves = _by_class(figures)
    write_json(folder / METRICS, _metrics(figures, table))
    if not len(figures.targets):
        return [METRICS]
    names = np.array(figures.classes, object)
    pairs = find_confusions(figures.targets, figures.predicted, len(names), _NUM_CONFUSIONS)
    confusions = pd.DataFrame(
        {
            "label": [names[a] for a, _, _ in pairs],
            "predicted_label": [names[b] for _, b, _ in pairs],
            "images": [num for _, _, num in pairs],
        }
    )
    for name, frame in (("classes.csv", table), ("pr_curves.csv", curves), ("confusions.csv", confusions)):
        write_table_file(folder / name, frame)
    return [METRICS, "classes.csv", "pr_curves.csv", "confusions.csv"]


def _by_class(f: Figures) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table with one row for each class, and the curves of all images together (label '') and of each class."""
    correct = f.predicted == f.targets
    num_val = np.bincount(f.targets, minlength=len(f.classes))
    curves = [("", precision_recall(correct, f.confidence, len(f.targets)))]
    for number, name in enumerate(f.classes):
        mine = f.predicted == number
        curves.append((name, precision_recall(correct[mine], f.confidence[mine], int(num_val[number]))))
    table = pd.DataFrame(
        {
            "label": f.classes,
            "group": size_groups(f.sizes),
            "train_images": f.sizes,
            "sampled": f.sampled,
            "val_images": num_val,
            "recall": f.recalls,
            "average_precision": [c.average_precision for _, c in curves[1:]],
        }
    )
    columns = ("threshold", "precision", "recall", "envelope")
    parts = [pd.DataFrame({"label": label} | {name: getattr(c, name) for name in columns}) for label, c in curves]
    return table, pd.concat(parts, ignore_index=True)


def _metrics(f: Figures, table: pd.DataFrame) -> Metrics:
    there = table["val_images"] > 0
    groups = {name: _mean(f.recalls[(table["group"] == name).to_numpy()]) for name in SIZES}
    curve = precision_recall(f.predicted == f.targets, f.confidence, len(f.targets))
    return {
        "val": f.source,
        "val_images": len(f.targets),
        "accuracy": float((f.predicted == f.targets).mean()) if len(f.targets) else None,
        "mean_recall": f.recall,
        "recall_by_class_size": groups,
        "average_precision": curve.average_precision if len(f.targets) else None,
        "mean_average_precision": _mean(table.loc[there, "average_precision"].to_numpy()),
        "epochs": len(f.losses),
        "training_loss": [round(v, 6) for v in f.losses],
        "batch_norm": None if f.health is None else dataclasses.asdict(f.health),
    }


def _mean(values: np.ndarray) -> float | None:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None
