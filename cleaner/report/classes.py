"""Classes before and after: a table to sort and search, the balance between them, and the ones that were given up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.report.charts import Series, legend, line_chart, mini_bar
from cleaner.report.data import ReportData
from cleaner.report.galleries import Evidence, fate, gallery, pick_rows
from cleaner.report.markup import Safe, breakable, card, number, percent, section, tag, words
from cleaner.report.thumbnails import Thumbnails

_REASON_COLUMNS = {
    "noise": ("noise_image",),
    "labels": ("label_issue_coarse", "label_issue_fine", "label_conflict"),
    "copies": ("exact_duplicate",),
    "other": ("unreadable", "low_count_class", "jumbled_class", "person"),
}
"""The drop reasons in each column of the class table."""
_NUM_GALLERIES = 6
_PRINTED_ROWS = 60


def compute_classes(data: ReportData) -> dict[str, Any]:
    """One entry a class of split train: images before and after, dropped by reason, repeats, what balance says."""
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
    """Classes that labels suspects, the least recognised first, and of a pair the first by name."""
    if data.classes is None or "finding" not in data.classes:
        return []
    columns = [
        "finding",
        "overlaps_with",
        "size_raw",
        "recognised_with",
        "separability",
        "overlap",
        "action",
        "evidence",
    ]
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
    """Largest and smallest class, and how many times the one is the other."""
    there = sizes[sizes > 0]
    if there.empty:
        return {"largest": 0, "smallest": 0, "ratio": 0.0}
    return {"largest": int(there.max()), "smallest": int(there.min()), "ratio": float(there.max() / there.min())}


def render_classes(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> Safe:
    """The section."""
    imbalance = figures["imbalance"]
    lead = f"{number(figures['before'])} classes before, {number(figures['after'])} after. The largest has "
    lead += f"{imbalance['before']['ratio']:.1f} times as many images as the smallest before cleaning, "
    lead += f"{imbalance['after']['ratio']:.1f} times after"
    lead += f", {imbalance['sampled']['ratio']:.1f} times with repeats." if "sampled" in imbalance else "."
    return section(
        "classes", "Classes", lead,
        card("Images of each class, largest first", *_balance_chart(figures), cls="card wide-card"), _table(figures),
        _suspected(figures["findings"]), *_given_up(data, thumbnails),
    )  # fmt: skip


def _balance_chart(figures: dict[str, Any]) -> list[Safe]:
    lines = [
        ("before", "c-unreadable", "before"),
        ("sampled", "c-class", "with repeats"),
        ("after", "c-keep", "after cleaning"),
    ]
    series, names, largest = [], [], 1
    for column, color, name in lines:
        sizes = sorted((e[column] for e in figures["table"] if e.get(column)), reverse=True)
        if not sizes:
            continue
        largest = max(largest, sizes[0])
        points = [(float(i), float(n)) for i, n in enumerate(sizes)]
        series.append(Series(name, [*points, (float(len(sizes)), float(sizes[-1]))], color, is_step=len(sizes) < 100))
        names.append((name, color))
    num = max(1, len(figures["table"]))
    log = largest > 1000
    chart = line_chart(
        series, label="Images of each class, before and after", x_name="classes, largest first", y_name="images",
        x_range=(0, num), y_range=(1, 1.3 * largest) if log else (0, 1.08 * largest), log_y=log,
        width=1080,
    )  # fmt: skip
    return [chart, legend(names)]


def _table(figures: dict[str, Any]) -> Safe:
    entries = figures["table"]
    columns = ["Class", "Before", "After", "", "Kept", "Noise", "Labels", "Copies", "Other"]
    has_sampled, has_action = bool(entries) and "sampled" in entries[0], bool(entries) and "action" in entries[0]
    columns += ["With repeats"] * has_sampled + ["Right out of fold", "Balance says"] * has_action
    head = [
        tag("th", tag("button", name, type="button") if name else None, scope="col", aria_sort="none" if name else None)
        for name in columns
    ]
    largest = max((e["before"] for e in entries), default=1)
    body = [_row(e, max(1, largest), has_sampled=has_sampled, has_action=has_action) for e in entries]
    search = tag("input", type="search", placeholder="search classes", aria_label="search classes", cls="search")
    count = tag("span", f"{number(len(entries))} classes", cls="count", aria_live="polite")
    note = (
        tag("p", f"Printed are the first {_PRINTED_ROWS} rows.", cls="print-only note")
        if len(entries) > _PRINTED_ROWS
        else None
    )
    bars = tag("p", "A click on a heading sorts. In the bars green stays, the rest was dropped.", cls="note")
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), cls="sortable")
    return tag(
        "div",
        tag("div", search, count, cls="tools"),
        bars,
        tag("div", table, cls="scroll", tabindex="0"),
        note,
        cls="class-table",
    )


def _row(entry: dict[str, Any], largest: int, *, has_sampled: bool, has_action: bool) -> Safe:
    before, after = entry["before"], entry["after"]
    share = after / before if before else None
    dropped = [
        (entry[k] / largest, c)
        for k, c in zip(_REASON_COLUMNS, ("c-noise", "c-coarse", "c-dup", "c-other"), strict=True)
    ]
    cells = [tag("th", entry["label"], scope="row"), tag("td", before), tag("td", after)]
    cells.append(tag("td", mini_bar([(min(after, before) / largest, "c-keep"), *dropped]), cls="bar"))
    cells.append(tag("td", percent(share, 0), data_v=round(share, 4) if share is not None else -1))
    cells += [tag("td", entry[k] or "", data_v=entry[k]) for k in _REASON_COLUMNS]
    if has_sampled:
        cells.append(tag("td", entry["sampled"]))
    if has_action:
        right = entry["oof_accuracy"]
        cells.append(tag("td", percent(right, 0), data_v=round(right, 4) if right == right else -1))
        by = " (a person)" if entry["evidence"] == "person" else ""
        cells.append(tag("td", tag("span", words(entry["action"]) + by, cls=f"action a-{entry['action']}")))
    return tag("tr", cells)


def _suspected(findings: list[dict[str, Any]]) -> Safe | None:
    """Classes that look like a jumble, and pairs that look like one."""
    if not findings:
        return None
    lines = []
    for one in findings:
        if one["finding"] == "jumbled":
            what = f"looks like a jumble: {percent(one['recognised_with'], 0)} of its images are recognised"
        else:
            what = f"looks like one with {one['overlaps_with']}: its images are told apart from that class's in "
            what += f"{percent(one['separability'], 0)} of pairs; chance is 50\u00a0%"
        by = " by a person" if one["evidence"] == "person" else ""
        decided = f" Decided{by}: {one['action']}." if by or one["action"] == "drop" else ""
        lines.append(
            tag("li", tag("b", breakable(one["label"])), f" ({number(one['size_raw'])} images) {what}.{decided}")
        )
    note = "Where nothing is said of a decision, they stay. Look with `cleaner review low-count`; drop, keep or merge."
    return tag("div", tag("h3", "Suspected classes"), tag("p", note, cls="note"), tag("ul", lines), cls="gallery")


def _given_up(data: ReportData, thumbnails: Thumbnails) -> list[Safe | None]:
    """Classes that were dropped as a whole, or wait for a person."""
    rows = data.rows
    if data.classes is None:
        return []
    out = []
    listed = data.classes[data.classes["action"].isin(["drop", "review"])].head(_NUM_GALLERIES)
    for name, described in listed.iterrows():
        mine = rows[(rows["clean_label"] == name) & ~rows["drop_stage"].isin(["scan", "noise", "labels"])]
        what = "dropped" if described["action"] == "drop" else "left to people"
        title = f"{name} · {what}, {number(len(mine))} images"
        chance = described["coherence_p"]
        note = None
        if chance == chance:
            note = f"Probability that as many images, drawn at random, look as much alike: {percent(chance)}."
        out.append(gallery(title, note, pick_rows(mine, None), _describe, thumbnails))
    return out


def _describe(row: Any) -> Evidence:
    return Evidence(row.label, [words(row.drop_reason)] if not row.keep else [], fate(row))
