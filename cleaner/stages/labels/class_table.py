"""The table of classes that the labels stage writes: which are a jumble, which two are one class. docs/methods.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleaner.dataset.found_classes import CLASSES_FILE, no_classes
from cleaner.dataset.manifest import write_table
from cleaner.dataset.stage_tables import CLASSES
from cleaner.errors import first_few
from cleaner.scoring.class_findings import find_class_findings
from cleaner.scoring.out_of_fold import UNDECIDED
from cleaner.stages.labels.outcome import Evidence


def write_classes(folder: Path, evidence: Evidence, full: pd.DataFrame) -> tuple[str, dict[str, Any]]:
    """Write one row for each class with its evidence and finding; returns the file's name and counts for the record.

    `full`: the stage's manifest. The models are those of the first cross-training, on the labels as given.
    """
    table = _class_table(evidence, full.loc[evidence.mine, "keep"].to_numpy())
    write_table(folder / CLASSES_FILE, table, CLASSES["labels"].schema)
    pairs = table.loc[table["finding"] == "overlaps", ["label", "overlaps_with"]].to_numpy().tolist()
    counts = {
        "classes_jumbled": table.loc[table["finding"] == "jumbled", "label"].tolist(),
        "classes_overlapping": [list(pair) for pair in sorted({tuple(sorted(pair)) for pair in pairs})],
    }
    return CLASSES_FILE, counts


def class_warnings(counts: dict[str, Any]) -> list[str]:
    """Warnings about suspected classes, with what to do; `counts` of `write_classes`."""
    jumbles, pairs = counts["classes_jumbled"], [" = ".join(pair) for pair in counts["classes_overlapping"]]
    look = "look with `cleaner review low-count`, or"
    warnings = []
    if jumbles:
        warnings.append(
            f"{len(jumbles)} {'class looks' if len(jumbles) == 1 else 'classes look'} like a jumble: "
            f"{first_few(jumbles)}; "
            f"{look} give one up: cleaner decide --class CLASS --drop"
        )
    if pairs:
        warnings.append(
            f"{len(pairs)} {'pair of classes looks' if len(pairs) == 1 else 'pairs of classes look'} like one: "
            f"{first_few(pairs)}; "
            f"{look} join two: cleaner decide --class CLASS --merge-into CLASS"
        )
    return warnings


def _class_table(evidence: Evidence, kept: np.ndarray) -> pd.DataFrame:
    """The table; `kept` (n,) bool. Images that people relabelled or rejected are no evidence on their given class."""
    zero = evidence.zero
    if zero is None:
        return no_classes()
    labels, names, num_classes = evidence.labels, evidence.names, evidence.labels.num_classes
    rows = np.flatnonzero((labels.decided == UNDECIDED) | (labels.decided == labels.targets))
    given = labels.targets[rows]
    found = find_class_findings(zero if len(rows) == len(labels.targets) else zero.take(rows), num_classes)
    issue_prob = np.full(num_classes, np.nan, np.float32)
    if evidence.estimate is not None:
        prob = pd.Series(evidence.estimate.issue_prob[rows]).groupby(given).mean()
        issue_prob[prob.index] = prob
    columns = {
        "label": names,
        "images": found.num_images,
        "kept": np.bincount(given, weights=kept[rows], minlength=num_classes).astype(np.int32),
        "issue_prob": issue_prob,
        "recognised": found.recognised,
        "recognised_with": found.recognised_with,
        "spread": found.spread,
        "nearest": _names(names, found.nearest),
        "separability": found.separability,
        "separability_error": found.separability_error,
        "overlap": found.overlap,
        "finding": np.select([found.jumbled, found.overlaps_with >= 0], ["jumbled", "overlaps"], ""),
        "overlaps_with": _names(names, found.overlaps_with),
    }
    return pd.DataFrame(columns)


def _names(names: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers >= 0, names[numbers], "")
