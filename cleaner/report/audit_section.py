"""The audit in the report: what people found in blind random samples, with exact intervals."""

from __future__ import annotations

from typing import Any

from cleaner.report.charts import Drawing, Interval, interval_chart
from cleaner.report.data import ReportData
from cleaner.report.wording import percent, words

_NAMES = {
    "noise": "noise images",
    "wrong_label": "wrong labels",
    "unusable": "unusable images",
    "any": "any of these",
    "all": "all, weighted",
}


def compute_audit(data: ReportData) -> dict[str, Any] | None:
    """The audit's document; None if there is none for this manifest."""
    return None if data.audit is None else data.audit.document()


def illustrate_audit(figures: dict[str, Any] | None, data: ReportData) -> dict[str, Any]:
    """The intervals of what is left and of what was wrongly dropped; without an audit, why there is none."""
    if figures is None:
        return {"fault": data.audit_fault}
    colors = dict.fromkeys(figures["kept"], "c-coarse") | {"noise": "c-noise"}
    kept = _chart(figures["kept"], colors, "What is left in the kept set", figures["goal"]["residual_noise"])
    colors = dict.fromkeys(figures["dropped"], "c-dup")
    dropped = _chart(figures["dropped"], colors, "What was wrongly dropped") if figures["dropped"] else None
    return {"kept": kept, "dropped": dropped}


def _chart(estimates: dict[str, Any], colors: dict[str, str], label: str, goal: float | None = None) -> Drawing:
    rows = [_interval(_NAMES.get(name, words(name)), value, colors[name]) for name, value in estimates.items()]
    highest = max(
        [2.5 * (goal or 0), *(row.high for row in rows if row.middle is not None and row.high is not None), 0.02]
    )
    return interval_chart(
        rows,
        label=label,
        reach=(0, min(1.0, 1.05 * highest)),
        margins=(250, 150),
        mark=None if goal is None else (goal, f"goal {100 * goal:g} %"),
        tick_text=lambda share: f"{100 * share:.3g} %",
    )


def _interval(name: str, estimate: dict[str, Any], color: str) -> Interval:
    share, low, high = estimate["share"], estimate["low"], estimate["high"]
    text = "not looked at" if share is None else f"{percent(low)} – {percent(high)}"
    text = f"{percent(low)}, all seen" if low == high else text
    return Interval(name, share, low, high, color, text)
