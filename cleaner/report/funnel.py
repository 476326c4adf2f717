"""From the files found to the images that stay: by stage and reason."""

from __future__ import annotations

from typing import Any

from cleaner.dataset.manifest import STAGES
from cleaner.report.charts import Drawing, Path, Rect, Shape, Text
from cleaner.report.data import ReportData
from cleaner.report.galleries import PER_ROW, Evidence, make_gallery, pick_rows
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.wording import number, percent, words

_COLORS = {
    "unreadable": "c-unreadable",
    "exact_duplicate": "c-dup",
    "near_duplicate": "c-dup",
    "split_leak": "c-dup",
    "noise_image": "c-noise",
    "label_issue_coarse": "c-coarse",
    "label_issue_fine": "c-fine",
    "label_conflict": "c-conflict",
    "low_count_class": "c-class",
    "jumbled_class": "c-class",
    "person": "c-person",
}
"""The colour class of each drop reason."""
_WIDTH, _FULL, _TOP, _BAR, _GAP = 1120, 190, 44, 12, 8


def compute_funnel(data: ReportData) -> dict[str, Any]:
    """Rows found; then for each stage the rows that came in, those dropped by reason, and those that stayed."""
    rows = data.rows
    found = len(rows)
    sizes = rows.loc[~rows["keep"]].groupby(["drop_stage", "drop_reason"], observed=True).size()
    dropped = list(sizes.reset_index().itertuples(index=False, name=None))
    stages, left = [], found
    for stage in (s for s in STAGES if s in data.records or s in set(rows["drop_stage"])):
        reasons = {str(r): int(n) for s, r, n in dropped if s == stage}
        came = left
        left -= sum(reasons.values())
        by_size = dict(sorted(reasons.items(), key=lambda item: -item[1]))
        stages.append({"stage": stage, "rows_in": came, "dropped": by_size, "kept": left})
    return {"found": found, "kept": int(rows["keep"].sum()), "stages": stages}


def illustrate_funnel(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> dict[str, Any]:
    """The flow as a drawing, the colour of each reason, and some of what stays, at random."""
    kept = pick_rows(data.rows[data.rows["keep"]], None, 2 * PER_ROW)
    reasons = {reason for stage in figures["stages"] for reason in stage["dropped"]}
    return {
        "drawing": _drawing(figures),
        "colors": {reason: _COLORS.get(reason, "c-other") for reason in reasons},
        "kept": make_gallery("Some of what stays, at random", "", kept, _describe, thumbnails),
    }


def _describe(row: Any) -> Evidence:
    return Evidence([row.clean_label], [])


def _drawing(figures: dict[str, Any]) -> Drawing:
    stages, found = figures["stages"], max(1, figures["found"])
    step = (_WIDTH - 130) / max(1, len(stages))
    lowest, shapes = float(_TOP + _FULL), list[Shape]()
    for i, stage in enumerate(stages):
        x, kept = i * step, _FULL * stage["kept"] / found
        shapes.append(Rect(x, _TOP, _BAR, _FULL * stage["rows_in"] / found, "fill c-bar"))
        shapes.append(Rect(x + _BAR, _TOP, step - _BAR, kept, "fill c-flow"))
        shapes.append(Text(x + _BAR + 10, _TOP + 26, stage["stage"], "stage-name"))
        shapes.append(Text(x, _TOP - 14, number(stage["rows_in"]), "flow-count"))
        branches, reached = _branches(stage["dropped"], x + _BAR, _TOP + kept, step, found)
        shapes += branches
        lowest = max(lowest, reached)
    if stages:
        end, left = len(stages) * step, stages[-1]["kept"]
        shapes.append(Rect(end, _TOP, _BAR, _FULL * left / found, "fill c-keep"))
        shapes.append(Text(end, _TOP - 14, number(left), "flow-count strong"))
        shapes.append(Text(end + _BAR + 10, _TOP + 26, "kept", "stage-name"))
        shapes.append(Text(end + _BAR + 10, _TOP + 48, percent(left / found), "reason"))
    label = "; ".join(f"{s['stage']}: {s['rows_in']} in, {s['kept']} kept" for s in stages)
    return Drawing(_WIDTH, lowest, shapes, label, "chart funnel")


def _branches(dropped: dict[str, int], x: float, y: float, step: float, found: int) -> tuple[list[Shape], float]:
    """The flows that leave a stage, bending down to their names; and how far down they reach."""
    shapes: list[Shape] = []
    top, from_y = _TOP + _FULL + 26.0, y
    right = x + min(56.0, 0.3 * step)
    for reason, num in dropped.items():
        thick = max(1.5, _FULL * num / found)
        path = f"M{x:.1f} {from_y:.1f}C{right - 14:.1f} {from_y:.1f} {x + 14:.1f} {top:.1f} {right:.1f} {top:.1f}"
        path += f"V{top + thick:.1f}C{x + 14:.1f} {top + thick:.1f} {right - 14:.1f} {from_y + thick:.1f} "
        path += f"{x:.1f} {from_y + thick:.1f}Z"
        shapes.append(Path(path, f"ribbon {_COLORS.get(reason, 'c-other')}"))
        shapes.append(Text(right + 8, top + thick / 2 + 5, f"{words(reason)} {number(num)}", "reason"))
        from_y += thick
        top += max(24.0, thick) + _GAP
    return shapes, top
