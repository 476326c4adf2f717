"""Whether cleaning helped, in the report: what `cleaner verify` measured on held-out images."""

from __future__ import annotations

import json
from typing import Any

from cleaner.dataset.workspace import MANIFEST
from cleaner.report.charts import Scale, svg, words_at
from cleaner.report.data import ReportData
from cleaner.report.markup import Safe, breakable, card, count, number, percent, section, tag

_SAID = {
    "helped": "Cleaning helped",
    "hurt": "Cleaning hurt",
    "cannot_tell": "Whether cleaning helped cannot be told",
}
_COLORS = {"helped": "c-keep", "hurt": "c-noise", "cannot_tell": "c-other"}
_MAX_NAMED = 12


def compute_verification(data: ReportData) -> dict[str, Any] | None:
    """The content of verify/verify.json, with `stale`: whether it is of another manifest; None without a comparison."""
    record = data.workspace.record("verify")
    if record is None:
        return None
    path = data.workspace.stage_dir("verify") / "verify.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document | {"stale": record.input_sha256("parent") != data.records[data.stage].outputs.get(MANIFEST)}


def render_verification(figures: dict[str, Any]) -> Safe:
    """The section."""
    warnings = list(figures["warnings"])
    if figures["stale"]:
        warnings.insert(0, "This comparison is of an earlier result: run cleaner verify again.")
    notes = [tag("p", text, cls="note") for text in warnings]
    rows = [
        (f"{c['after']} against {c['before']}", c["mean"], c["low"], c["high"], c["verdict"])
        for c in figures["comparisons"]
    ]
    note = "Points of accuracy; dots: the mean over all seeds; lines: 95 % intervals over test images and seeds "
    note += "(docs/verify.md). A verdict is given where the interval leaves out 0."
    chart = difference_chart(rows, label="Difference in accuracy")
    parts = [card("Difference in accuracy", chart, _sets(figures), note=note, cls="card wide-card")]
    named = [c for c in figures["classes"] if c["verdict"] != "cannot_tell"]
    if named:
        parts.append(_named_classes(named))
    return section("verify", "Did cleaning help?", _lead(figures), notes, *parts, _all_classes(figures["classes"]))


def _lead(figures: dict[str, Any]) -> str:
    test, main = figures["test"], figures["comparisons"][0]
    text = f"{_SAID[figures['verdict']]}: on {number(test['images'])} held-out images ({test['where']}) a model of the "
    often = f"{100 * abs(main['mean']):.2f} points {'less' if main['mean'] < 0 else 'more'} often"
    text += f"cleaned set is right {often} than one of the raw set "
    text += f"(95 % interval {_points(main['low'])} to {_points(main['high'])}). "
    text += f"Both were trained with one recipe and the same number of steps, {len(figures['seeds'])} seeds each. "
    hurt = figures["classes_hurt"]
    if hurt:
        some = ", ".join(hurt[:_MAX_NAMED]) + (f" and {len(hurt) - _MAX_NAMED} more" if len(hurt) > _MAX_NAMED else "")
        text += f"It hurt {count(len(hurt), 'class', 'classes')}: {some}."
    return text


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"


def difference_chart(rows: list[tuple[str, float | None, float, float, str]], *, label: str) -> Safe:
    """Horizontal intervals (name, mean, low, high, verdict) in -1 .. 1 about a line at 0, in percentage points."""
    width, step, left, right, top = 1080, 34, 300, 170, 14
    reach = max([0.01, *(abs(v) for _, _, low, high, _ in rows for v in (low, high))])
    x = Scale(-reach, reach, left, width - right)
    height = top + step * len(rows) + 30
    shapes = []
    for value in x.ticks():
        cls = "mark" if abs(value) < 1e-12 else "grid"
        shapes.append(tag("line", x1=x(value), x2=x(value), y1=top - 8, y2=height - 26, cls=cls))
        shapes.append(words_at(x(value), height - 8, f"{100 * value:+.3g}", "tick", "middle"))
    for i, (name, mean, low, high, verdict) in enumerate(rows):
        at, color = top + step * (i + 0.5), _COLORS[verdict]
        shapes.append(words_at(left - 14, at + 5, name, "row-name", "end"))
        shapes.append(tag("line", x1=x(low), x2=x(high), y1=at, y2=at, cls=f"interval {color}"))
        if mean is not None:
            shapes.append(tag("circle", cx=x(mean), cy=at, r=5, cls=f"dot {color}"))
        shapes.append(words_at(width - right + 12, at + 5, f"{_points(low)} … {_points(high)}", "tick"))
    return svg(width, height, shapes, label=label, cls="chart wide")


def _sets(figures: dict[str, Any]) -> Safe:
    lines = []
    for one in figures["sets"]:
        cells = [number(one["images"]), number(one["classes"])]
        cells += [percent(one["accuracy"], 2), percent(one["mean_class_accuracy"], 2)]
        lines.append([breakable(one["name"]), *cells])
    return _table(["Learned from", "Images", "Classes", "Accuracy", "Mean of classes"], lines)


def _named_classes(named: list[dict[str, Any]]) -> Safe:
    ordered = sorted(named, key=lambda c: c["accuracy_after"] - c["accuracy_before"])
    shown = ordered if len(ordered) <= 2 * _MAX_NAMED else [*ordered[:_MAX_NAMED], *ordered[-_MAX_NAMED:]]
    rows = [(c["label"], c["accuracy_after"] - c["accuracy_before"], c["low"], c["high"], c["verdict"]) for c in shown]
    note = "Lines: each class's own 95 % interval. A class is named where its p-value, adjusted over all classes "
    note += "(Benjamini-Hochberg), is at most 0.05, or where cleaning left it no image."
    chart = difference_chart(rows, label="Difference in accuracy, by class")
    title = f"{count(len(named), 'class', 'classes')} that changed"
    return card(title, chart, note=note, cls="card wide-card")


def _all_classes(classes: list[dict[str, Any]]) -> Safe:
    head = ["Class", "Learned from, raw", "cleaned", "Test images", "Accuracy, raw", "cleaned", "Verdict"]
    lines = [
        [breakable(c["label"]), number(c["learned_before"]), number(c["learned_after"]), number(c["test_images"]),
         percent(c["accuracy_before"]), percent(c["accuracy_after"]), c["verdict"].replace("_", " ")]
        for c in classes
    ]  # fmt: skip
    return tag("details", tag("summary", "All classes"), _table(head, lines))


def _table(head: list[str], lines: list[list[str]]) -> Safe:
    body = [tag("tr", [tag("td", cell) for cell in line]) for line in lines]
    return tag("table", tag("thead", tag("tr", [tag("th", h, scope="col") for h in head])), tag("tbody", body))
