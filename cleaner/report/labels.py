"""Label issues: good images under the wrong class, the rounds of pulling back, and which classes are confused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.report.charts import bar_chart
from cleaner.report.data import ReportData
from cleaner.report.galleries import Evidence, gallery, named_rows, pick_rows, strip, tile
from cleaner.report.markup import Safe, card, number, section, tag
from cleaner.report.thumbnails import Thumbnails

_NUM_PAIRS = 10
_EXAMPLES = 5
_PASS_COLORS = {"coarse": "c-coarse", "fine": "c-fine"}
_PASS_TEXTS = {
    "coarse": "The class it stands under is not even among the likely ones.",
    "fine": "Another class fits better, often a near one: many such flags are wrong.",
}
_MAX_PAIRS_IN_JSON = 200


def compute_labels(data: ReportData) -> dict[str, Any] | None:
    """Counts, the passes with their rounds, and pairs of confused classes; None before the labels stage."""
    if not data.has("label_issue", "predicted_label", "self_confidence", "pulled_back_round"):
        return None
    rows = data.rows
    issues = rows[rows["label_issue"] != ""]
    pairs = (
        issues.groupby(["label", "predicted_label"], observed=True).size().sort_values(ascending=False, kind="stable")
    )
    relabelled = (rows["clean_label"].astype(str) != rows["label"].astype(str)) & rows["keep"]
    return {
        "issues": {kind: int((issues["label_issue"] == kind).sum()) for kind in ("coarse", "fine")},
        "dropped": {kind: int((rows["drop_reason"] == f"label_issue_{kind}").sum()) for kind in ("coarse", "fine")},
        "issues_kept": int(issues["keep"].sum()),
        "pulled_back": int((rows["pulled_back_round"] > 0).sum()),
        "other_label_now": int(relabelled.sum()),
        "passes": [_pass_figures(p) for p in data.notes("labels").get("passes", [])],
        "num_pairs": len(pairs),
        "pairs": [
            {"given": str(given), "predicted": str(predicted), "images": int(num)}
            for given, predicted, num in pairs.head(_MAX_PAIRS_IN_JSON).reset_index().itertuples(index=False)
        ],
    }


def _pass_figures(notes: dict[str, Any]) -> dict[str, Any]:
    rounds = notes["rounds"]
    return {
        "pass": notes["pass"],
        "top_k": notes["top_k"],
        "judged": notes["judged"],
        "stable": notes["stable"],
        "positive_at_once": rounds[0]["positive"] if rounds else 0,
        "pulled_back": [{"round": r["round"], "recipe": r["recipe"], "images": r["positive"]} for r in rounds[1:]],
    }


def render_labels(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> Safe:
    """The section."""
    issues, dropped = figures["issues"], figures["dropped"]
    lead = f"{number(issues['coarse'] + issues['fine'])} images do not look like their class to models that never "
    lead += f"saw them: {number(issues['coarse'])} coarse, {number(issues['fine'])} fine. "
    lead += f"{number(sum(dropped.values()))} were dropped for it, {number(figures['issues_kept'])} stay for people. "
    lead += f"{number(figures['pulled_back'])} more were pulled back on a second look by models trained otherwise."
    return section(
        "labels", "Wrong labels", lead, *_galleries(data, thumbnails), _pairs(figures, data, thumbnails),
        tag("div", _rounds_charts(figures), cls="charts"),
    )  # fmt: skip


def _galleries(data: ReportData, thumbnails: Thumbnails) -> list[Safe | None]:
    rows = data.rows
    out = []
    for kind, text in _PASS_TEXTS.items():
        mine = rows[(rows["label_issue"] == kind) & rows["image_id"].ne("")]
        num_kept, num_for_it = int(mine["keep"].sum()), int((mine["drop_reason"] == f"label_issue_{kind}").sum())
        fates = f"{number(num_for_it)} dropped for it, {number(num_kept)} kept"
        fates += f", {number(rest)} dropped for another reason" if (rest := len(mine) - num_kept - num_for_it) else ""
        title = f"{kind.capitalize()} label issues · {number(len(mine))}"
        certainty = (mine["predicted_confidence"] - mine["self_confidence"]).to_numpy(np.float64)
        out.append(
            gallery(
                title, f"{text} {fates.capitalize()}.", pick_rows(mine, np.nan_to_num(certainty)), _describe, thumbnails
            )
        )
    back = rows[rows["pulled_back_round"] > 0]
    title = f"Pulled back · {number(len(back))}"
    out.append(
        gallery(title, "Negatives that a later round took in again.", pick_rows(back, None), _describe, thumbnails)
    )
    people = rows[(rows["label_evidence"] == "person")]
    if len(people):
        out.append(
            gallery(f"Decided by people · {number(len(people))}", None, pick_rows(people, None), _told, thumbnails)
        )
    return out


def _describe(row: Any) -> Evidence:
    rank = "not scored" if row.given_rank < 0 else f"the given one is no. {row.given_rank + 1}"
    sure = f"{100 * row.self_confidence:.0f} % → {100 * row.predicted_confidence:.0f} %"
    headline = [row.label, tag("span", " → ", cls="arrow"), row.predicted_label]
    if row.label == row.predicted_label:
        headline = [row.label]
    return Evidence(headline, [sure, rank], "kept" if row.keep else "dropped")


def _told(row: Any) -> Evidence:
    changed = (
        [row.label, tag("span", " → ", cls="arrow"), row.clean_label] if row.label != row.clean_label else row.label
    )
    return Evidence(changed, ["said a person"], "kept" if row.keep else "dropped")


def _rounds_charts(figures: dict[str, Any]) -> list[Safe]:
    charts = []
    for one in figures["passes"]:
        color = _PASS_COLORS.get(one["pass"], "c-coarse")
        bars = [(str(r["round"]), float(r["images"]), color) for r in one["pulled_back"]]
        if not bars:
            continue
        title = f"Pulled back in each round · {one['pass']} pass (top {one['top_k']})"
        chart = bar_chart(bars, label=title, x_name="round", y_name="images pulled back")
        note = f"Of {number(one['judged'])} images {number(one['positive_at_once'])} were right at once. "
        note += "Then it was stable." if one["stable"] else "It stopped at the limit of rounds."
        charts.append(card(title, chart, note=note))
    return charts


def _pairs(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> Safe | None:
    """The most frequent pairs, each with examples between a typical image of the one class and of the other."""
    rows, pairs = data.rows, figures["pairs"][:_NUM_PAIRS]
    if not pairs:
        return None
    typical = _typical(rows, {p["given"] for p in pairs} | {p["predicted"] for p in pairs})
    most = pairs[0]["images"]
    lines = []
    for pair in pairs:
        mine = rows[(rows["label_issue"] != "") & (rows["label"] == pair["given"])]
        mine = mine[mine["predicted_label"] == pair["predicted"]]
        chosen = mine.sort_values("predicted_confidence", ascending=False, kind="stable").head(_EXAMPLES)
        bar = tag("meter", value=float(pair["images"]), max=float(most), aria_hidden="true")
        head = tag("h4", pair["given"], tag("span", " → ", cls="arrow"), pair["predicted"], cls="pair-name")
        count = tag("p", bar, f"{number(pair['images'])} images", cls="note")
        sides = [_side(typical, pair[k], thumbnails) for k in ("given", "predicted")]
        lines.append(
            tag(
                "div",
                tag("div", head, count, cls="pair-head"),
                sides[0],
                strip(chosen, _short, thumbnails),
                sides[1],
                cls="pair",
            )
        )
    note = f"The {len(pairs)} most frequent of {number(figures['num_pairs'])} pairs: left a typical image of the given "
    note += "class, right one of the class that was predicted, between them the images in question."
    return tag("div", tag("h3", "Which classes are confused"), tag("p", note, cls="note"), *lines, cls="gallery pairs")


def _short(row: Any) -> Evidence:
    return Evidence(
        f"{100 * row.self_confidence:.0f} % → {100 * row.predicted_confidence:.0f} %",
        [],
        "kept" if row.keep else "dropped",
    )


def _typical(rows: pd.DataFrame, names: set[str]) -> dict[str, Any]:
    """The kept image of each class of which the models were surest."""
    mine = rows[rows["keep"] & rows["label"].isin(names) & (rows["given_rank"] == 0)]
    best = mine.sort_values("self_confidence", ascending=False, kind="stable").drop_duplicates("label")
    return {row.label: row for row in named_rows(best)}


def _side(typical: dict[str, Any], name: str, thumbnails: Thumbnails) -> Safe:
    row = typical.get(name)
    if row is None:
        return tag("div", tag("span", "no sure image", cls="gone"), cls="typical")
    return tag("div", tile(row, Evidence(name, ["typical"]), thumbnails), cls="typical")
