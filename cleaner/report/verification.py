"""Whether cleaning helped, in the report: what `cleaner verify` measured on held-out images."""

from __future__ import annotations

from typing import Any

from cleaner.dataset.stage_documents import read_verification
from cleaner.dataset.workspace import MANIFEST
from cleaner.report.charts import Drawing, Interval, interval_chart
from cleaner.report.data import ReportData
from cleaner.report.wording import points

_COLORS = {"helped": "c-keep", "hurt": "c-noise", "cannot_tell": "c-other"}
_MAX_NAMED = 12


def compute_verification(data: ReportData) -> dict[str, Any] | None:
    """The content of verify/verify.json, and `stale`: whether it is of another manifest. None before `verify`."""
    record = data.workspace.record("verify")
    if record is None:
        return None
    document: dict[str, Any] = {**read_verification(data.workspace.stage_dir("verify"))}
    return document | {"stale": record.input_sha256("parent") != data.records[data.stage].outputs.get(MANIFEST)}


def illustrate_verification(figures: dict[str, Any]) -> dict[str, Any]:
    """Differences in accuracy: of the sets, and of the classes that changed (None: there are none)."""
    comparisons = [
        _interval(f"{c['after']} against {c['before']}", c["mean"], c["low"], c["high"], c["verdict"])
        for c in figures["comparisons"]
    ]
    named = [c for c in figures["classes"] if c["verdict"] != "cannot_tell"]
    return {
        "sets": _chart(comparisons, "Difference in accuracy"),
        "num_changed": len(named),
        "classes": _class_chart(named) if named else None,
    }


def _class_chart(named: list[dict[str, Any]]) -> Drawing:
    """The classes that changed; of many, those that lost and those that gained most."""
    changes = [(_difference(c["accuracy_after"], c["accuracy_before"]), c) for c in named]
    changes.sort(key=lambda change: change[0] or 0.0)
    shown = changes if len(changes) <= 2 * _MAX_NAMED else [*changes[:_MAX_NAMED], *changes[-_MAX_NAMED:]]
    rows = [_interval(c["label"], change, c["low"], c["high"], c["verdict"]) for change, c in shown]
    return _chart(rows, "Difference in accuracy, by class")


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _interval(name: str, middle: float | None, low: float | None, high: float | None, verdict: str) -> Interval:
    return Interval(name, middle, low, high, _COLORS[verdict], f"{points(low)} … {points(high)}")


def _chart(rows: list[Interval], label: str) -> Drawing:
    """Intervals about a line at 0, in percentage points."""
    reach = max([0.01, *(abs(bound) for row in rows for bound in (row.low, row.high) if bound is not None)])
    return interval_chart(
        rows,
        label=label,
        reach=(-reach, reach),
        margins=(300, 170),
        mark=(0.0, ""),
        tick_text=lambda share: f"{100 * share:+.3g}",
    )
