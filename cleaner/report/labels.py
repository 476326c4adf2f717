"""Label issues: good images under the wrong class, the rounds of pulling back, and which classes are confused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.diagnostics.expected_wrong import about_wrong
from cleaner.report.charts import Drawing, bar_chart
from cleaner.report.data import ReportData
from cleaner.report.galleries import (
    Evidence,
    Gallery,
    Tile,
    change,
    fate,
    make_gallery,
    make_strip,
    make_tile,
    named_rows,
    pick_rows,
)
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.wording import is_absent, number, percent

_NUM_PAIRS = 10
_EXAMPLES = 5
_PASS_COLORS = {"coarse": "c-coarse", "fine": "c-fine"}
_PASS_TEXTS = {
    "coarse": "The given class is not even among the likely ones.",
    "fine": "Another class fits better, often a near one: many such flags are wrong.",
}
_MAX_PAIRS_IN_JSON = 200


def compute_labels(data: ReportData) -> dict[str, Any] | None:
    """Counts, the passes with their rounds, and pairs of confused classes; None before the labels stage."""
    if not data.has("label_issue", "predicted_label", "self_confidence", "pulled_back_round"):
        return None
    rows = data.rows
    issues = rows[rows["label_issue"] != ""]
    pairs = issues.groupby(["label", "predicted_label"], observed=True).size()
    pairs = pairs.sort_values(ascending=False, kind="stable")
    expected = _expected_wrong(rows)
    relabelled = (rows["clean_label"].astype(str) != rows["label"].astype(str)) & rows["keep"]
    return {
        "issues": {kind: int((issues["label_issue"] == kind).sum()) for kind in ("coarse", "fine")},
        "dropped": {kind: int((rows["drop_reason"] == f"label_issue_{kind}").sum()) for kind in ("coarse", "fine")},
        "issues_kept": int(issues["keep"].sum()),
        "expected_wrong": expected,
        "about_wrong": about_wrong((expected or {}).get("for_people"), int(issues["keep"].sum())),
        "pulled_back": int((rows["pulled_back_round"] > 0).sum()),
        "other_label_now": int(relabelled.sum()),
        "passes": [_pass_figures(p) for p in data.notes("labels").get("passes", [])],
        "num_pairs": len(pairs),
        "pairs": [
            {"given": str(given), "predicted": str(predicted), "images": int(num)}
            for given, predicted, num in pairs.head(_MAX_PAIRS_IN_JSON).reset_index().itertuples(index=False)
        ],
    }


def _expected_wrong(rows: pd.DataFrame) -> dict[str, float] | None:
    """Sums of the probability of a wrong label; None where nothing has one."""
    if "label_issue_prob" not in rows or rows["label_issue_prob"].isna().all():
        return None
    prob, issue = rows["label_issue_prob"].fillna(0).astype(np.float64), rows["label_issue"] != ""
    dropped = rows["drop_reason"].astype(str).str.startswith("label_issue")
    parts = {"all": prob, "dropped": prob[dropped], "for_people": prob[issue & rows["keep"]]}
    return {name: round(float(part.sum()), 1) for name, part in parts.items()}


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


def illustrate_labels(figures: dict[str, Any], data: ReportData, thumbnails: Thumbnails) -> dict[str, Any]:
    """The section's galleries, the most frequent pairs with examples, and a chart for each pass that pulled back."""
    return {
        "galleries": _galleries(data.rows, thumbnails),
        "pairs": _pairs(figures["pairs"][:_NUM_PAIRS], data.rows, thumbnails),
        "rounds": [(one, _rounds_chart(one)) for one in figures["passes"] if one["pulled_back"]],
    }


def _galleries(rows: pd.DataFrame, thumbnails: Thumbnails) -> list[Gallery]:
    galleries = []
    for kind, text in _PASS_TEXTS.items():
        mine = rows[(rows["label_issue"] == kind) & rows["image_id"].ne("")]
        num_kept, num_for_it = int(mine["keep"].sum()), int((mine["drop_reason"] == f"label_issue_{kind}").sum())
        fates = f"{number(num_for_it)} dropped for it, {number(num_kept)} kept"
        fates += f", {number(rest)} dropped for another reason" if (rest := len(mine) - num_kept - num_for_it) else ""
        title = f"{kind.capitalize()} label issues · {number(len(mine))}"
        certainty = np.nan_to_num((mine["predicted_confidence"] - mine["self_confidence"]).to_numpy(np.float64))
        groups = pick_rows(mine, certainty)
        galleries.append(make_gallery(title, f"{text} {fates.capitalize()}.", groups, _describe, thumbnails))
    back = rows[rows["pulled_back_round"] > 0]
    title, note = f"Pulled back · {number(len(back))}", "Negatives that a later round took in again."
    galleries.append(make_gallery(title, note, pick_rows(back, None), _describe, thumbnails))
    people = rows[(rows["label_evidence"] == "person")]
    title = f"Decided by people · {number(len(people))}"
    galleries.append(make_gallery(title, "", pick_rows(people, None), _describe_decision, thumbnails))
    return galleries


def _describe(row: Any) -> Evidence:
    rank = "not scored" if row.given_rank < 0 else f"the given one is no. {row.given_rank + 1}"
    lines = [_confidences(row), rank]
    if not is_absent(getattr(row, "label_issue_prob", None)):
        lines.append(f"wrong label: {percent(row.label_issue_prob, 0)}")
    return Evidence(change(row.label, row.predicted_label), lines, fate(row))


def _describe_decision(row: Any) -> Evidence:
    return Evidence(change(row.label, row.clean_label), ["by a person"], fate(row))


def _describe_example(row: Any) -> Evidence:
    return Evidence([_confidences(row)], [], fate(row))


def _confidences(row: Any) -> str:
    return f"{percent(row.self_confidence, 0)} → {percent(row.predicted_confidence, 0)}"


def _rounds_chart(one: dict[str, Any]) -> Drawing:
    color = _PASS_COLORS.get(one["pass"], "c-coarse")
    bars = [(str(r["round"]), float(r["images"]), color) for r in one["pulled_back"]]
    label = f"Pulled back in each round · {one['pass']} pass (top {one['top_k']})"
    return bar_chart(bars, label=label, x_name="round", y_name="images pulled back")


def _pairs(pairs: list[dict[str, Any]], rows: pd.DataFrame, thumbnails: Thumbnails) -> list[dict[str, Any]]:
    """Each pair with examples, and with a typical image of the one class and of the other."""
    typical = _typical(rows, {p["given"] for p in pairs} | {p["predicted"] for p in pairs})
    shown = []
    for pair in pairs:
        mine = rows[(rows["label_issue"] != "") & (rows["label"] == pair["given"])]
        mine = mine[mine["predicted_label"] == pair["predicted"]]
        chosen = mine.sort_values("predicted_confidence", ascending=False, kind="stable").head(_EXAMPLES)
        sides = {side: _side(typical.get(pair[side]), thumbnails) for side in ("given", "predicted")}
        shown.append({"pair": pair, "examples": make_strip(chosen, _describe_example, thumbnails)} | sides)
    return shown


def _typical(rows: pd.DataFrame, names: set[str]) -> dict[str, Any]:
    """The kept image of each class that the models recognise most surely."""
    mine = rows[rows["keep"] & rows["label"].isin(names) & (rows["given_rank"] == 0)]
    best = mine.sort_values("self_confidence", ascending=False, kind="stable").drop_duplicates("label")
    return {row.label: row for row in named_rows(best)}


def _side(row: Any | None, thumbnails: Thumbnails) -> Tile | None:
    return None if row is None else make_tile(row, Evidence([row.label], ["typical"]), thumbnails)
