"""The document that `verify` writes: verdict, comparisons, sets and classes. docs/schemas/verify.schema.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import numpy as np
import pandas as pd

from cleaner.dataset.stage_documents import ClassPart, Comparison, SetPart, TestPart, Verification
from cleaner.modeling.recipes import Recipe
from cleaner.scoring.verification import CONFIDENCE, ClassDifferences, compare_by_class, compare_models, mean_accuracy
from cleaner.stages.verify_sets import TrainingSet
from cleaner.stages.verify_trial import Trial

SCHEMA_VERSION: Literal[1] = 1


def make_document(trial: Trial, recipe: Recipe, right: dict[str, np.ndarray], seed: int) -> Verification:
    """The content of verify.json, from whether each set's models are right: (S, n) bool by set, one row per seed."""
    strata = pd.factorize(trial.test.images["stratum"])[0].astype(np.int64)
    pairs = [("raw", "cleaned")]
    for one in trial.sets[2:]:
        pairs += [("raw", one.name), (one.name, "cleaned")]
    comparisons: list[Comparison] = []
    for before, after in pairs:
        result = compare_models(right[before], right[after], weights=trial.weights, strata=strata, seed=seed)
        comparisons.append(
            {
                "before": before,
                "after": after,
                "mean": result.mean,
                "low": result.low,
                "high": result.high,
                "p_value": result.p_value,
                "verdict": result.verdict,
            }
        )
    by_class = compare_by_class(
        right["raw"], right["cleaned"], trial.targets, len(trial.classes), weights=trial.weights, seed=seed
    )
    classes = _class_rows(trial, by_class)
    verdicts = {v: [c["label"] for c in classes if c["verdict"] == v] for v in ("helped", "hurt")}
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": comparisons[0]["verdict"],
        "confidence": CONFIDENCE,
        "learner": trial.learner,
        "recipe": asdict(recipe),
        "seeds": trial.seeds,
        "slots": trial.num_slots,
        "test": _test_part(trial),
        "sets": [_set_part(one, right[one.name], trial, by_class) for one in trial.sets],
        "comparisons": comparisons,
        "classes_helped": verdicts["helped"],
        "classes_hurt": verdicts["hurt"],
        "classes_emptied": [c["label"] for c in classes if c["emptied"]],
        "classes": classes,
        "warnings": trial.test.warnings,
    }


def _class_rows(trial: Trial, by_class: ClassDifferences) -> list[ClassPart]:
    """One entry per class of the raw or cleaned set. An emptied class is hurt if the raw set's models knew it."""
    sizes = [pd.Series(one.labels, dtype=object).value_counts() for one in trial.sets[:2]]
    rows: list[ClassPart] = []
    for k, (label, verdict) in enumerate(zip(trial.classes, by_class.verdicts(), strict=True)):
        num_before, num_after = (int(counts.get(label, 0)) for counts in sizes)
        if not num_before and not num_after:
            continue
        emptied = num_before > 0 and num_after == 0
        rows.append(
            {
                "label": label,
                "learned_before": num_before,
                "learned_after": num_after,
                "emptied": emptied,
                "test_images": int(by_class.num_images[k]),
                "accuracy_before": _plain(by_class.before[k]),
                "accuracy_after": _plain(by_class.after[k]),
                "low": _plain(by_class.low[k]),
                "high": _plain(by_class.high[k]),
                "p_adjusted": _plain(by_class.p_adjusted[k]),
                "verdict": "hurt" if emptied and by_class.before[k] > 0 else verdict,
            }
        )
    return rows


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _test_part(trial: Trial) -> TestPart:
    images = trial.test.images.assign(has_class=trial.targets >= 0)
    strata = [
        {
            "name": str(name),
            "looked_at": len(part),
            "test_images": int(part["has_class"].sum()),
            "stands_for": float(part["weight"].sum()),
        }
        for name, part in images.groupby("stratum", sort=True)
    ]
    return {
        "kind": trial.test.kind,
        "where": trial.test.where,
        "noisy_labels": trial.test.kind == "split",
        "images": len(trial.asked),
        "classes": len(np.unique(trial.targets[trial.asked])),
        "strata": strata,
    }


def _set_part(one: TrainingSet, right: np.ndarray, trial: Trial, by_class: ClassDifferences) -> SetPart:
    """A set's size and its models' accuracy, over all test images and as the mean over classes."""
    by_seed = mean_accuracy(right, trial.weights)
    known = by_class.num_images > 0
    sums = np.bincount(trial.targets[trial.asked], (right.mean(0) * trial.weights)[trial.asked], len(known))
    totals = np.bincount(trial.targets[trial.asked], trial.weights[trial.asked], len(known))
    return {
        "name": one.name,
        "images": len(one.rows),
        "classes": len(set(one.labels)),
        "accuracy": float(by_seed.mean()),
        "accuracy_by_seed": by_seed.tolist(),
        "mean_class_accuracy": float((sums[known] / totals[known]).mean()),
    }
