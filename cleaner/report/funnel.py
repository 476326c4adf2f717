"""From the files that were found to the images that stay: by stage and reason."""

from __future__ import annotations

from typing import Any

from cleaner.dataset.manifest import STAGES
from cleaner.report.charts import svg, words_at
from cleaner.report.data import ReportData
from cleaner.report.markup import Safe, card, number, percent, section, tag, words

COLORS = {
    "unreadable": "c-unreadable", "exact_duplicate": "c-dup", "noise_image": "c-noise",
    "label_issue_coarse": "c-coarse", "label_issue_fine": "c-fine", "label_conflict": "c-conflict",
    "low_count_class": "c-class", "jumbled_class": "c-class", "person": "c-person",
}  # fmt: skip
"""The colour class of each drop reason, the same all over the page."""
_WIDTH, _FULL, _TOP, _BAR, _GAP = 1120, 190, 44, 12, 8


def compute_funnel(data: ReportData) -> dict[str, Any]:
    """Rows found; then for each stage the rows that came in, were dropped by reason, and stayed."""
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


def render_funnel(figures: dict[str, Any], sample: Safe | None) -> Safe:
    """The section: the flow as a drawing and as a table; `sample` shows some of what stays."""
    found, kept = figures["found"], figures["kept"]
    lead = f"{number(found)} files came in, {number(kept)} images stay ({percent(kept / found if found else None)}). "
    lead += "Every one that is left out has a stage and a reason; no file was touched."
    return section(
        "funnel",
        "What stays, and what goes",
        lead,
        card("", _drawing(figures), cls="card plain"),
        _table(figures),
        sample,
    )


def _drawing(figures: dict[str, Any]) -> Safe:
    stages, found = figures["stages"], max(1, figures["found"])
    step = (_WIDTH - 130) / max(1, len(stages))
    lowest, shapes = float(_TOP + _FULL), list[Safe]()
    for i, stage in enumerate(stages):
        x, height = i * step, _FULL * stage["rows_in"] / found
        kept = _FULL * stage["kept"] / found
        end = x + step
        shapes.append(tag("rect", x=float(x), y=_TOP, width=_BAR, height=float(height), cls="fill c-bar"))
        shapes.append(
            tag("rect", x=float(x + _BAR), y=_TOP, width=float(step - _BAR), height=float(kept), cls="fill c-flow")
        )
        shapes.append(words_at(x + _BAR + 10, _TOP + 26, stage["stage"], "stage-name"))
        shapes.append(words_at(x, _TOP - 14, number(stage["rows_in"]), "flow-count"))
        lowest = max(lowest, _branches(shapes, stage["dropped"], x + _BAR, _TOP + kept, step, found))
        if i == len(stages) - 1:
            shapes.append(tag("rect", x=float(end), y=_TOP, width=_BAR, height=float(kept), cls="fill c-keep"))
            shapes.append(words_at(end, _TOP - 14, number(stage["kept"]), "flow-count strong"))
            shapes.append(words_at(end + _BAR + 10, _TOP + 26, "kept", "stage-name"))
            shapes.append(words_at(end + _BAR + 10, _TOP + 48, percent(stage["kept"] / found), "reason"))
    label = "; ".join(f"{s['stage']}: {s['rows_in']} in, {s['kept']} kept" for s in stages)
    return svg(_WIDTH, lowest, shapes, label=label, cls="chart funnel")


def _branches(shapes: list[Safe], dropped: dict[str, int], x: float, y: float, step: float, found: int) -> float:
    """The flows that leave a stage, bending down to their names; returns how far down they reach."""
    at = _TOP + _FULL + 26.0
    turn = min(56.0, 0.3 * step)
    widths = {reason: max(1.5, _FULL * num / found) for reason, num in dropped.items()}
    from_y = y
    for reason, num in dropped.items():
        thick, room = widths[reason], max(24.0, widths[reason])
        top, left, right = at, x, x + turn
        path = f"M{left:.1f} {from_y:.1f}C{right - 14:.1f} {from_y:.1f} {left + 14:.1f} {top:.1f} {right:.1f} {top:.1f}"
        path += f"V{top + thick:.1f}C{left + 14:.1f} {top + thick:.1f} {right - 14:.1f} {from_y + thick:.1f} "
        path += f"{left:.1f} {from_y + thick:.1f}Z"
        shapes.append(tag("path", d=path, cls=f"ribbon {COLORS.get(reason, 'c-other')}"))
        shapes.append(words_at(right + 8, top + thick / 2 + 5, f"{words(reason)} {number(num)}", "reason"))
        from_y += thick
        at += room + _GAP
    return at


def _table(figures: dict[str, Any]) -> Safe:
    head = tag("tr", [tag("th", name, scope="col") for name in ("Stage", "Reason", "Images", "Share of all")])
    lines = []
    for stage in figures["stages"]:
        for reason, num in stage["dropped"].items():
            share = percent(num / figures["found"], 2)
            dot = tag("i", cls=f"swatch {COLORS.get(reason, 'c-other')}")
            lines.append(
                tag(
                    "tr",
                    tag("td", stage["stage"]),
                    tag("td", dot, words(reason)),
                    tag("td", number(num)),
                    tag("td", share),
                )
            )
    kept = figures["kept"]
    swatch = tag("i", cls="swatch c-keep")
    share = percent(kept / figures["found"] if figures["found"] else None, 2)
    lines.append(
        tag("tr", tag("td", ""), tag("td", swatch, "kept"), tag("td", number(kept)), tag("td", share), cls="sum")
    )
    return tag("details", tag("summary", "The same as a table"), tag("table", tag("thead", head), tag("tbody", lines)))
