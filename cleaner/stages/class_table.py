"""The table of classes that the labels stage writes: which are a jumble, which two are one. docs/methods.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cleaner.dataset.manifest import write_table
from cleaner.scoring.class_findings import find_class_findings
from cleaner.stages.label_decisions import Judged
from cleaner.stages.label_rule import candidates_of

CLASSES = "classes.parquet"
FINDING_COLUMNS = [
    ("recognised_with", pa.float32()), ("spread", pa.float32()), ("nearest", pa.string()),
    ("separability", pa.float32()), ("separability_error", pa.float32()), ("overlap", pa.float32()),
    ("finding", pa.string()), ("overlaps_with", pa.string()),
]  # fmt: skip
"""Evidence and finding, as `cleaner balance` takes them over."""
_SCHEMA = pa.schema(
    [
        ("label", pa.string()), ("images", pa.int32()), ("kept", pa.int32()), ("issue_prob", pa.float32()),
        ("recognised", pa.float32()), *FINDING_COLUMNS,
    ]
)  # fmt: skip
_NUM_NAMED = 5


def judge_classes(judged: Judged, kept: np.ndarray) -> pd.DataFrame:
    """One row a class with its evidence and finding; `kept` (n,) bool: rows that are still in the set.

    The models are those of the first cross-training, on the labels as given. What people threw out or relabelled
    says nothing of the class that it came under.
    """
    names, targets, decided = np.array(judged.classes, dtype=object), judged.labels.targets, judged.labels.decided
    if judged.zero is None:
        return _SCHEMA.empty_table().to_pandas()
    rows = np.flatnonzero((decided == -1) | (decided == targets))
    num_classes, given = len(names), targets[rows]
    found = find_class_findings(candidates_of(given, judged.zero.take(rows)), num_classes)
    issue_prob = np.full(num_classes, np.nan, np.float32)
    if judged.doubts is not None:
        prob = pd.Series(judged.doubts.issue_prob[rows]).groupby(given).mean()
        issue_prob[prob.index] = prob
    return pd.DataFrame(
        {
            "label": names, "images": found.num_images,
            "kept": np.bincount(given, weights=kept[rows], minlength=num_classes).astype(np.int32),
            "issue_prob": issue_prob, "recognised": found.recognised, "recognised_with": found.recognised_with,
            "spread": found.spread, "nearest": _names(names, found.nearest), "separability": found.separability,
            "separability_error": found.separability_error, "overlap": found.overlap,
            "finding": np.select([found.jumbled, found.overlaps_with >= 0], ["jumbled", "overlaps"], ""),
            "overlaps_with": _names(names, found.overlaps_with),
        }
    )  # fmt: skip


def write_classes(folder: Path, table: pd.DataFrame) -> str:
    """Write the table; returns the file's name."""
    write_table(folder / CLASSES, table, _SCHEMA)
    return CLASSES


def read_findings(path: Path, names: list[str], merged: dict[str, str]) -> pd.DataFrame:
    """FINDING_COLUMNS of the classes `names`, in their order; without the file, or of unknown classes: no finding.

    `merged`: where people's merges end; what they made one is no finding any more.
    """
    table = pd.read_parquet(path).set_index("label") if path.exists() else _SCHEMA.empty_table().to_pandas().set_index("label")
    table = table[[name for name, _ in FINDING_COLUMNS]].reindex(names)
    for name in ("nearest", "finding", "overlaps_with"):
        table[name] = table[name].fillna("").astype(object)
    settled = table["overlaps_with"].replace(merged) == table.index
    table.loc[settled, ["finding", "overlaps_with"]] = ""
    return table


def list_overlaps(table: pd.DataFrame) -> list[list[str]]:
    """The pairs of classes that look like one, each once."""
    mine = table[table["finding"] == "overlaps"]
    pairs = {tuple(sorted(pair)) for pair in zip(mine["label"], mine["overlaps_with"], strict=True)}
    return [list(pair) for pair in sorted(pairs)]


def class_warnings(jumbles: list[str], overlaps: list[list[str]]) -> list[str]:
    """What the stage says of suspected classes, and what to do."""
    warnings = []
    if jumbles:
        some = ", ".join(jumbles[:_NUM_NAMED])
        warnings.append(
            f"{len(jumbles)} of the classes look like a jumble: {some}; look at them with `cleaner review low-count`, "
            "or give one up: cleaner decide --class CLASS --drop"
        )
    if overlaps:
        some = ", ".join(" = ".join(pair) for pair in overlaps[:_NUM_NAMED])
        warnings.append(
            f"{len(overlaps)} pairs of classes look like one class: {some}; look at them with `cleaner review "
            "low-count`, or make one of two: cleaner decide --class CLASS --merge-into CLASS"
        )
    return warnings


def _names(names: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers >= 0, names[numbers], "")
