"""Copies side by side: identical images under different labels, near duplicates; and files that cannot be read."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cleaner.report.data import ReportData
from cleaner.report.galleries import Evidence, fate, named_rows, strip
from cleaner.report.markup import Safe, count, number, section, tag, words
from cleaner.report.thumbnails import Thumbnails

_NUM_GROUPS = {"conflict": 9, "near": 9, "exact": 3}
_PER_GROUP = 4
_MAX_FILES = 200


def compute_duplicates(data: ReportData) -> dict[str, Any]:
    """Numbers of groups and images of each kind, and what is wrong with the files that cannot be read."""
    rows = data.rows
    kinds = {}
    for kind in ("exact", "near"):
        mine = rows[rows["duplicate_kind"] == kind]
        kinds[kind] = {"groups": int(mine["duplicate_group"].nunique()), "images": len(mine)}
    conflicts = rows[rows["label_conflict"]]
    faults = rows.loc[~rows["readable"], "fault"].value_counts()
    return kinds | {
        "exact_dropped": int((rows["drop_reason"] == "exact_duplicate").sum()),
        "conflicts": {
            "groups": int(conflicts["duplicate_group"].nunique()),
            "images": len(conflicts),
            "dropped": int((rows["drop_reason"] == "label_conflict").sum()),
        },
        "faults": {str(k): int(v) for k, v in faults.items() if v},
    }


def render_duplicates(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> Safe:
    """The section."""
    exact, near, conflicts = figures["exact"], figures["near"], figures["conflicts"]
    lead = f"{number(figures['exact_dropped'])} exact copies were dropped ({number(exact['groups'])} groups). "
    lead += (
        f"{number(conflicts['groups'])} images stand under several labels at once. {number(near['groups'])} groups of "
    )
    lead += "near duplicates stay; they share a fold in cross-training, so that none gives another away."
    rows = data.rows
    in_group = rows["duplicate_group"] >= 0
    conflict = in_group & rows["label_conflict"]
    near_rows = in_group & (rows["duplicate_kind"] == "near")
    exact_rows = in_group & (rows["duplicate_kind"] == "exact") & ~rows["label_conflict"]
    return section(
        "duplicates", "Copies and conflicts", lead,
        _groups(
            "One image, several labels", "The copy whose label fits best stays.", rows[conflict], "conflict", thumbnails
        ),
        _groups("Near duplicates", None, rows[near_rows], "near", thumbnails),
        _groups("Exact copies under one label", None, rows[exact_rows], "exact", thumbnails),
        _faults(figures, rows),
    )  # fmt: skip


def _groups(title: str, note: str | None, rows: pd.DataFrame, kind: str, thumbnails: Thumbnails) -> Safe | None:
    if rows.empty:
        return None
    sizes = rows["duplicate_group"].value_counts()
    chosen = sorted(sizes.sample(min(_NUM_GROUPS[kind], len(sizes)), random_state=0).index)
    boxes = []
    for group in chosen:
        members = rows[rows["duplicate_group"] == group]
        more = len(members) - _PER_GROUP
        rest = tag("p", f"and {number(more)} more", cls="note") if more > 0 else None
        boxes.append(tag("div", strip(members.head(_PER_GROUP), _describe, thumbnails), rest, cls="copies"))
    heading = f"{title} · {count(len(sizes), 'group')}"
    return tag(
        "div",
        tag("h3", heading),
        tag("p", note, cls="note") if note else None,
        tag("div", boxes, cls="copy-grid"),
        cls="gallery",
    )


def _describe(row: Any) -> Evidence:
    reason = words(row.drop_reason) if not row.keep else f"{row.width} × {row.height}"
    return Evidence(row.label, [reason], fate(row))


def _faults(figures: dict[str, Any], rows: pd.DataFrame) -> Safe | None:
    if not figures["faults"]:
        return None
    bad = rows[~rows["readable"]]
    lines = [
        tag("tr", tag("td", row.file_name, cls="file"), tag("td", words(row.fault)), tag("td", row.label))
        for row in named_rows(bad.head(_MAX_FILES))
    ]
    head = tag("tr", [tag("th", name, scope="col") for name in ("File", "Fault", "Class")])
    summary = " · ".join(f"{words(fault)} {number(num)}" for fault, num in figures["faults"].items())
    more = len(bad) - _MAX_FILES
    return tag(
        "div",
        tag("h3", f"Files that cannot be read · {number(len(bad))}"),
        tag("p", summary, cls="note"),
        tag(
            "details",
            tag("summary", "Which ones"),
            tag("table", tag("thead", head), tag("tbody", lines)),
            tag("p", f"and {number(more)} more", cls="note") if more > 0 else None,
        ),
        cls="gallery",
    )
