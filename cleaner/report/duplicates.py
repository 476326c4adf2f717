"""Copies side by side: identical images under different labels, near duplicates; and files that cannot be read."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cleaner.report.data import ReportData
from cleaner.report.galleries import Evidence, fate, make_strip, named_rows
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.wording import count, words
from cleaner.scoring.copies import count_leaks, count_within

_NUM_GROUPS = {"conflict": 9, "near": 9, "exact": 3}
_PER_GROUP = 4
_MAX_FILES = 200


def compute_duplicates(data: ReportData) -> dict[str, Any]:
    """Numbers of groups and images of each kind, pictures that splits share, and the faults of unreadable files."""
    rows = data.rows
    kinds = {}
    for kind in ("exact", "near"):
        mine = rows[rows["duplicate_kind"] == kind]
        kinds[kind] = {"groups": int(mine["duplicate_group"].nunique()), "images": len(mine)}
    conflicts = rows[rows["label_conflict"]]
    splits = rows[["file_name", "keep", "duplicate_group", "split"]].astype({"split": object})
    faults = rows.loc[~rows["readable"], "fault"].value_counts()
    return kinds | {
        "exact_dropped": int((rows["drop_reason"] == "exact_duplicate").sum()),
        "near_dropped": int((rows["drop_reason"] == "near_duplicate").sum()),
        "leaks_dropped": int((rows["drop_reason"] == "split_leak").sum()),
        "split_leaks": count_leaks(splits),
        "copies_within": count_within(splits),
        "conflicts": {
            "groups": int(conflicts["duplicate_group"].nunique()),
            "images": len(conflicts),
            "dropped": int((rows["drop_reason"] == "label_conflict").sum()),
        },
        "faults": {str(k): int(v) for k, v in faults.items() if v},
    }


def illustrate_duplicates(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> dict[str, Any]:
    """Some groups of each kind side by side, and the files that cannot be read."""
    rows = data.rows
    in_group, is_conflict = rows["duplicate_group"] >= 0, rows["label_conflict"]
    is_exact = rows["duplicate_kind"] == "exact"
    kinds = [
        ("conflict", "One image, several labels", rows[in_group & is_conflict]),
        ("near", "Near duplicates", rows[in_group & (rows["duplicate_kind"] == "near")]),
        ("exact", "Exact copies under one label", rows[in_group & is_exact & ~is_conflict]),
    ]
    bad = rows[~rows["readable"]]
    return {
        "kinds": [_groups(kind, title, mine, thumbnails) for kind, title, mine in kinds if len(mine)],
        "bad_files": [(row.file_name, words(row.fault), row.label) for row in named_rows(bad.head(_MAX_FILES))],
        "num_bad": len(bad),
    }


def _groups(kind: str, title: str, rows: pd.DataFrame, thumbnails: Thumbnails) -> dict[str, Any]:
    """Some groups at random: the tiles of each, and how many more images it has."""
    sizes = rows["duplicate_group"].value_counts()
    boxes = []
    for group in sorted(sizes.sample(min(_NUM_GROUPS[kind], len(sizes)), random_state=0).index):
        members = rows[rows["duplicate_group"] == group]
        tiles = make_strip(members.head(_PER_GROUP), _describe, thumbnails)
        boxes.append({"tiles": tiles, "num_more": len(members) - len(tiles)})
    return {"kind": kind, "title": f"{title} · {count(len(sizes), 'group')}", "boxes": boxes}


def _describe(row: Any) -> Evidence:
    reason = words(row.drop_reason) if not row.keep else f"{row.width} × {row.height}"
    relation = words(getattr(row, "duplicate_relation", ""))
    return Evidence([row.label], [line for line in (reason, relation) if line], fate(row))
