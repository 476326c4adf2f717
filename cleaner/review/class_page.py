"""The page of one class: all its images by doubt, what is typical of it, and the classes that it is mistaken for."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from cleaner.review.catalogue import Catalogue
from cleaner.review.label_queues import answers_label_question, count_confusions, likely_labels
from cleaner.review.queue import (
    Queue,
    QueueKind,
    Sources,
    Verdict,
    absent_queue,
    first_of_content,
    make_image_items,
    most_doubtful_first,
)

CLASS_PAGE = "class:"
"""The name of such a page is this and the label."""
_NUM_NEIGHBOURS, _NUM_TYPICAL = 4, 6


def class_page(label: str) -> QueueKind:
    """The kind of the queue that holds the images of class `label`, given or cleaned, dropped ones too."""
    return QueueKind(
        name=f"{CLASS_PAGE}{label}",
        title=label,
        question=f"All images of {label}, the doubtful first. Does the label fit?",
        find=partial(_find_images, label),
        fills_when="the manifest holds readable images of this class.",
        answers=answers_label_question,
        decision_queue="class",
    )


def describe_class(catalogue: Catalogue, label: str) -> dict[str, Any]:
    """What the panel shows of a class: its size, typical images, and its neighbours, the most frequent first.

    A neighbour is a class that is suggested for images of this one whose label is doubted, or the other way round.
    """
    rows = catalogue.rows
    mine = (rows["label"] == label).to_numpy()
    return {
        "label": label,
        "num": int(mine.sum()),
        "kept": int((mine & rows["keep"].to_numpy()).sum()),
        "typical": catalogue.typical(label, 2 * _NUM_TYPICAL),
        "neighbours": [
            {"label": name, "num": num, "typical": catalogue.typical(name, _NUM_TYPICAL)}
            for name, num in _neighbours(catalogue, label)
        ],
    }


def _neighbours(catalogue: Catalogue, label: str) -> list[tuple[str, int]]:
    rows = catalogue.rows
    if "suggested_label" not in rows:
        return []
    given, suggested, doubted = rows["label"], rows["suggested_label"], rows["label_issue"] != ""
    theirs = suggested[doubted & (given == label) & (suggested != "")].astype(object)
    from_them = given[doubted & (suggested == label)].astype(object)
    counts = theirs.value_counts().add(from_them.value_counts(), fill_value=0)
    first = sorted(counts.items(), key=lambda found: (-found[1], str(found[0])))[:_NUM_NEIGHBOURS]
    return [(str(name), int(num)) for name, num in first]


def _find_images(label: str, kind: QueueKind, sources: Sources) -> Queue:
    catalogue = sources.catalogue
    if label not in catalogue.known_labels:
        return absent_queue(kind, f"there is no class {label[:80]!r} in the manifest")
    rows = catalogue.rows
    there = first_of_content(catalogue, ((rows["label"] == label) | (rows["clean_label"] == label)).to_numpy())
    column, score_name = _find_score(catalogue)
    score = rows[column].to_numpy()[there].astype(np.float64) if column else np.full(len(there), np.nan)
    knows_better = "suggested_label" in rows
    suggested = rows["suggested_label"].astype(object).to_numpy()[there] if knows_better else ""
    kept = rows["keep"].to_numpy()[there]
    reason = np.where(kept, "kept", rows["drop_reason"].astype(object).to_numpy()[there])
    items = make_image_items(catalogue, there, suggested, score, reason)
    ordered = most_doubtful_first(items, np.nan_to_num(score, nan=-1.0))
    confused = count_confusions(catalogue, (rows["suggested_label"] != "").to_numpy()) if knows_better else {}

    def choices(i: int) -> list[Verdict]:
        names = likely_labels(str(ordered["given"].iloc[i]), str(ordered["suggested"].iloc[i]), confused)
        return [("label", name) for name in names]

    def facts(i: int) -> list[str]:
        return [str(ordered["reason"].iloc[i]).replace("_", " ")]

    return Queue(kind, ordered, score_name=score_name, choices=choices, facts=facts)


def _find_score(catalogue: Catalogue) -> tuple[str, str]:
    """The column that says how doubtful an image is, and what it is called; empty after the scan alone."""
    known = (("label_issue_prob", "probability of a wrong label"), ("noise_prob", "probability of noise"))
    return next(((column, name) for column, name in known if column in catalogue.rows), ("", ""))
