"""Queues that come from people's work: what annotators disagree on, and the sample of an audit."""

from __future__ import annotations

import numpy as np

from cleaner.dataset.audits import find_open_sample
from cleaner.errors import CleanerError
from cleaner.review.class_queue import glance_at_class
from cleaner.review.queue import Queue, QueueKind, Sources, absent_queue, make_items


def find_disagreements(kind: QueueKind, sources: Sources) -> Queue:
    """Every image and class on which annotators differ, and that is still in the manifest."""
    catalogue = sources.catalogue
    listed = [
        (kind_of_key, key, events)
        for (kind_of_key, key), events in sorted(sources.ledger.disputed.items())
        if (key in catalogue.row_of if kind_of_key == "image" else key in catalogue.known_labels)
    ]
    verdicts = [sorted({(e.verdict, e.label) for e in events}) for _, _, events in listed]
    reasons = [" / ".join(sorted({v for v, _ in one})) for one in verdicts]
    order = sorted(range(len(listed)), key=lambda i: reasons[i])
    listed, verdicts = [listed[i] for i in order], [verdicts[i] for i in order]
    row = np.array([catalogue.row_of[key] if of == "image" else -1 for of, key, _ in listed], dtype=np.int64)
    label = catalogue.rows["label"]
    items = make_items(
        kind=[of for of, _, _ in listed],
        key=[key for _, key, _ in listed],
        row=row,
        given=[str(label.iloc[r]) if r >= 0 else key for r, (_, key, _) in zip(row, listed, strict=True)],
        suggested="",
        score=np.nan,
        reason=sorted(reasons),
    )
    return Queue(
        kind,
        items,
        choices=lambda i: verdicts[i],
        pictures=lambda i: glance_at_class(catalogue, listed[i][1]) if listed[i][0] == "class" else [],
        facts=lambda i: [f"{e.annotator or '?'}: {e.verdict} {e.label}".rstrip() for e in listed[i][2]],
    )


def find_audit_sample(kind: QueueKind, sources: Sources) -> Queue:
    """The blind sample in its own order."""
    try:
        sample = find_open_sample(sources.workspace)
    except CleanerError as error:
        return absent_queue(kind, error.what)
    if sample is None:
        return absent_queue(kind, "run `cleaner audit` to draw a sample")
    row_of = sources.catalogue.row_of
    known = sample.rows[sample.rows["image_id"].isin(row_of)].drop_duplicates("image_id")
    items = make_items(
        kind="image",
        key=known["image_id"].to_numpy(),
        row=known["image_id"].map(row_of).to_numpy(np.int64),
        given=known["label"].to_numpy(),
        suggested="",
        score=np.nan,
        reason="",
    )
    return Queue(kind, items, after_seq=sample.record.after_seq)


def find_drawn_samples(sources: Sources) -> object:
    """Changes when a sample has been drawn or enlarged."""
    drawn = (sources.workspace.root / "audit").glob("*/sample.json")
    return tuple(sorted((path.name, path.stat().st_mtime) for path in drawn))
