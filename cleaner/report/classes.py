"""Classes before and after: a table to sort and search, their balance, and the ones that were given up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.report.charts import WIDE, Axis, Drawing, Series, line_chart, stack_parts
from cleaner.report.data import ReportData
from cleaner.report.galleries import Evidence, Gallery, fate, make_gallery, pick_rows
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.wording import number, percent, words

_REASON_COLUMNS = {
    "noise": ("noise_image",),
    "labels": ("label_issue_coarse", "label_issue_fine", "label_conflict"),
    "copies": ("exact_duplicate", "near_duplicate", "split_leak"),
    "other": ("unreadable", "low_count_class", "jumbled_class", "person"),
}
"""The drop reasons that each column of the class table counts."""
_REASON_COLORS = {"noise": "c-noise", "labels": "c-coarse", "copies": "c-dup", "other": "c-other"}
_BALANCE_LINES = {
    "before": ("before", "c-unreadable"),
    "sampled": ("with repeats", "c-class"),
    "after": ("after cleaning", "c-keep"),
}
_NUM_GALLERIES = 6


def compute_classes(data: ReportData) -> dict[str, Any]:
    """One entry for each class of split train: images before and after, drops by reason, repeats, what balance says."""
    train = data.rows[data.rows["split"] == "train"]
    kept = train[train["keep"]]
    table = pd.DataFrame({"before": _sizes(train["label"])})
    now = "clean_label" if "clean_label" in train else "label"
    table = table.join(_sizes(kept[now]).rename("after"), how="outer")
    if "repeats" in train:
        table["sampled"] = kept.groupby(now, observed=True)["repeats"].sum()
    for name, reasons in _REASON_COLUMNS.items():
        table[name] = _sizes(train.loc[train["drop_reason"].isin(reasons), "label"])
    table = table.fillna(0).astype(np.int64).sort_index()
    if data.classes is not None:
        for column in ("oof_accuracy", "action", "evidence", "coherence_p"):
            table[column] = data.classes[column].reindex(table.index)
        table[["action", "evidence"]] = table[["action", "evidence"]].fillna("")
    entries = table.reset_index(names="label").to_dict("records")
    return {
        "findings": _findings(data),
        "before": int((table["before"] > 0).sum()),
        "after": int((table["after"] > 0).sum()),
        "imbalance": {name: _imbalance(table[name]) for name in ("before", "after", "sampled") if name in table},
        "table": [{str(k): v for k, v in entry.items()} for entry in entries],
    }


def _findings(data: ReportData) -> list[dict[str, Any]]:
    """Classes that the labels stage suspects, the least recognised first; of a pair only one."""
    if data.classes is None or "finding" not in data.classes:
        return []
    measures = ["size_raw", "recognised_with", "separability", "overlap"]
    columns = ["finding", "overlaps_with", *measures, "action", "evidence"]
    found = data.classes.loc[data.classes["finding"] != "", columns].sort_values("recognised_with", kind="stable")
    pairs = [tuple(sorted((name, other))) if other else (name,) for name, other in found["overlaps_with"].items()]
    found = found[~pd.Series(pairs, index=found.index, dtype=object).duplicated()]
    return [{str(k): v for k, v in entry.items()} for entry in found.reset_index(names="label").to_dict("records")]


def _sizes(labels: pd.Series[str]) -> pd.Series[int]:
    counts = labels.value_counts()
    counts = counts[counts > 0]
    counts.index = counts.index.astype(object)
    return counts


def _imbalance(sizes: pd.Series[int]) -> dict[str, float]:
    """Sizes of the largest and the smallest class, and their ratio."""
    there = sizes[sizes > 0]
    if there.empty:
        return {"largest": 0, "smallest": 0, "ratio": 0.0}
    return {"largest": int(there.max()), "smallest": int(there.min()), "ratio": float(there.max() / there.min())}


def illustrate_classes(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> dict[str, Any]:
    """The chart of class sizes with its legend, a bar for each row of the table, and the classes given up."""
    chart, legend = _balance_chart(figures["table"])
    largest = max([1, *(entry["before"] for entry in figures["table"])])
    return {
        "chart": chart,
        "legend": legend,
        "reasons": list(_REASON_COLUMNS),
        "bars": [_bar(entry, largest) for entry in figures["table"]],
        "given_up": _given_up(data, thumbnails),
    }


def _balance_chart(table: list[dict[str, Any]]) -> tuple[Drawing, list[tuple[str, str]]]:
    series, legend, largest = [], [], 1
    for column, (name, color) in _BALANCE_LINES.items():
        sizes = sorted((entry[column] for entry in table if entry.get(column)), reverse=True)
        if not sizes:
            continue
        largest = max(largest, sizes[0])
        points = [(float(i), float(n)) for i, n in enumerate(sizes)]
        series.append(Series([*points, (float(len(sizes)), float(sizes[-1]))], color, is_step=len(sizes) < 100))
        legend.append((name, color))
    low, high = (1, 1.3 * largest) if largest > 1000 else (0, 1.08 * largest)
    x_axis = Axis("classes, largest first", 0, max(1, len(table)))
    y_axis = Axis("images", low, high, is_log=largest > 1000)
    return line_chart(series, x_axis, y_axis, label="Images of each class, before and after", width=WIDE), legend


def _bar(entry: dict[str, Any], largest: int) -> list[tuple[float, float, str]]:
    kept = min(entry["after"], entry["before"]) / largest
    dropped = [(entry[column] / largest, color) for column, color in _REASON_COLORS.items()]
    return stack_parts([(kept, "c-keep"), *dropped])


def _given_up(data: ReportData, thumbnails: Thumbnails) -> list[Gallery]:
    """Classes that were dropped as a whole, or wait for a person."""
    rows, galleries = data.rows, []
    if data.classes is None:
        return []
    listed = data.classes[data.classes["action"].isin(["drop", "review"])].head(_NUM_GALLERIES)
    for name, described in listed.iterrows():
        mine = rows[(rows["clean_label"] == name) & ~rows["drop_stage"].isin(["scan", "noise", "labels"])]
        action = "dropped" if described["action"] == "drop" else "left to people"
        title = f"{name} · {action}, {number(len(mine))} images"
        chance, note = described["coherence_p"], ""
        if chance == chance:
            note = f"Probability that as many images, drawn at random, look as much alike: {percent(chance)}."
        galleries.append(make_gallery(title, note, pick_rows(mine, None), _describe, thumbnails))
    return galleries


def _describe(row: Any) -> Evidence:
    return Evidence([row.label], [words(row.drop_reason)] if not row.keep else [], fate(row))
