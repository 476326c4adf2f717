"""The queue of classes: small ones, and those that a stage suspects or would drop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cleaner.review.catalogue import Catalogue
from cleaner.review.label_queues import count_confusions, likely_labels
from cleaner.review.queue import (
    Queue,
    QueueKind,
    Sources,
    Verdict,
    first_of_content,
    make_items,
    most_doubtful_first,
)

_NUM_GLANCE = 24


def find_doubtful_classes(kind: QueueKind, sources: Sources) -> Queue:
    """Classes below the least count, suspected ones, and those that balance drops or leaves to people."""
    catalogue = sources.catalogue
    rows, suspected = catalogue.rows, catalogue.findings
    label = rows["clean_label"].astype(object)
    size = label[rows["keep"].to_numpy()].value_counts().reindex(catalogue.labels).fillna(0).astype(int)
    action = _find_actions(catalogue)
    wanted = (size < catalogue.settings["min_count"]) | action.isin(["drop", "review"])
    wanted &= pd.Series(catalogue.labels, index=catalogue.labels).isin(set(label[rows["readable"].to_numpy()]))
    names = np.array([n for n in catalogue.labels if wanted[n]], dtype=object)
    doubt = np.array([{"review": 2.0, "drop": 1.0}.get(action[n], 0.0) - size[n] * 1e-7 for n in names])
    reason = [f"to {a}" if a in ("review", "drop") else "kept" if a else "small" for a in action[names]]
    row = np.full(len(names), -1)
    items = make_items(kind="class", key=names, row=row, given=names, suggested="", score=np.nan, reason=reason)
    ordered = most_doubtful_first(items, doubt)
    confused: dict[str, list[str]] = {}
    if "suggested_label" in rows:
        confused = count_confusions(catalogue, (rows["suggested_label"] != "").to_numpy())

    def key(i: int) -> str:
        return str(ordered["key"].iloc[i])

    def choices(i: int) -> list[Verdict]:
        names = likely_labels(key(i), suspected["overlaps_with"].get(key(i), ""), confused)
        return [("merge", name) for name in names]

    def facts(i: int) -> list[str]:
        known = [f"{size[key(i)]} images kept", str(ordered["reason"].iloc[i])]
        return known + [_suspicion(found) for label, found in suspected.iterrows() if label == key(i)]

    return Queue(kind, ordered, choices=choices, pictures=lambda i: glance_at_class(catalogue, key(i)), facts=facts)


def _find_actions(catalogue: Catalogue) -> pd.Series[str]:
    """What balance does with each class, '' where it did not run; `review` for suspected classes without an action."""
    rows, suspected = catalogue.rows, catalogue.findings
    action = pd.Series("", index=catalogue.labels, dtype=object)
    if "class_action" in rows:
        known = rows[["clean_label", "class_action"]].astype(object).drop_duplicates("clean_label")
        action.update(known.set_index("clean_label")["class_action"])
    action.update(pd.Series("review", index=suspected.index[action.reindex(suspected.index).eq("")], dtype=object))
    return action


def _suspicion(found: pd.Series[Any]) -> str:
    """What the labels stage found of a class, in words."""
    if found["finding"] == "jumbled":
        return f"looks like a jumble: {found['recognised_with']:.0%} recognised"
    return f"looks like one with {found['overlaps_with']}: {found['separability']:.0%} told apart, where 50% is chance"


def glance_at_class(catalogue: Catalogue, label: str) -> list[str]:
    """Some images of a class, evenly spaced, with those that a later stage dropped with it."""
    rows = catalogue.rows
    mine = (rows["clean_label"] == label).to_numpy() & ~rows["drop_stage"].isin(["scan", "noise"]).to_numpy()
    found = first_of_content(catalogue, mine)
    picked = found[np.unique(np.linspace(0, len(found) - 1, min(len(found), _NUM_GLANCE)).round().astype(int))]
    return [str(i) for i in rows["image_id"].to_numpy()[picked]]
