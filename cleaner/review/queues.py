"""What there is to look at: each queue as a table of items, the most doubtful first, and what can be said of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cleaner.dataset.decisions import SETTLE, Event
from cleaner.review.catalogue import Catalogue

Verdict = tuple[str, str]
"""Verdict and label, as a decision records them."""
GIVEN = "="
"""As a label: the one that the item came with."""
_FLAT_STD = 0.05  # of 0 .. 0.5; photographs have 0.1 and more
_ODD_SHARE = 0.05
"""The share of ordinary files with fewest colours, and of those with least contrast, that become candidates too."""
_NUM_CHOICES = 4
_NUM_GLANCE = 24
_NUM_TENTHS, _OF_EACH_TENTH = 10, 30
"""The calibration queue: so many images from each tenth of the probability of a wrong label."""

QUEUES = {
    "noise-seeds": ("Noise seeds", "Normal: a thing of some class. Noise: a map, chart, logo, text."),
    "noise-doubtful": ("Noise, doubtful", "The noise model is not sure. Noise, or a normal picture?"),
    "noise-found": ("Noise found", "The model calls these noise. Is any a normal picture?"),
    "labels": ("Labels", "Does the given label fit, or another one?"),
    "calibration": ("Calibration", "A blind sample, from surely right to surely wrong. Does the given label fit?"),
    "conflicts": ("Conflicts", "The same picture stands under several labels. Which one is right?"),
    "low-count": ("Classes", "Is this one class? Keep it, drop it, or merge it into another."),
    "disagreements": ("Disagreements", "Annotators differ. What holds? Your word settles it."),
    "audit": ("Audit", "A blind sample. Is the label right?"),
}  # fmt: skip
"""Name: title, and the question that is put to people."""

_NOISE_ACTIONS = (
    ("k", "Normal", "normal", ""), ("d", "Noise", "noise", ""),
    ("r", "Unusable", "drop", ""), ("u", "Unsure", "unsure", ""),
)  # fmt: skip
_LABEL_ACTIONS = (
    ("k", "Keep label", "label", GIVEN), ("d", "Drop", "drop", ""),
    ("n", "Noise", "noise", ""), ("u", "Unsure", "unsure", ""),
)  # fmt: skip
_CLASS_ACTIONS = (("k", "Keep class", "keep", ""), ("d", "Drop class", "drop", ""))


def find_actions(queue: str) -> dict[str, tuple[tuple[str, str, str, str], ...]]:
    """Key, text, verdict and label of what can be done with one key press, by kind of item."""
    image = _NOISE_ACTIONS if queue.startswith("noise-") else _LABEL_ACTIONS
    if queue == "disagreements":
        image = (*_LABEL_ACTIONS[:3], ("m", "Normal", "normal", ""))
    return {"image": image, "class": _CLASS_ACTIONS}


@dataclass(frozen=True)
class Queue:
    """The items of a queue in their order."""

    name: str
    items: pd.DataFrame
    """n rows: kind, key, row (of the manifest; -1: none), given, suggested, score, reason; ordered, groups together."""
    score_name: str = ""
    """What `score` (0 .. 1) means; empty: there is none."""
    choices: Callable[[int], list[Verdict]] = lambda position: []
    """What the number keys say of the item at a position."""
    pictures: Callable[[int], list[str]] = lambda position: []
    """The image ids of a class, for a glance."""
    facts: Callable[[int], list[str]] = lambda position: []
    """What is known of an item, in words."""
    after_seq: int = 0
    """In the audit: answers count from here on."""

    @cached_property
    def position_of(self) -> dict[tuple[str, str], int]:
        """Where each item stands, by kind and key."""
        pairs = zip(self.items["kind"], self.items["key"], strict=True)
        return {(str(kind), str(key)): i for i, (kind, key) in enumerate(pairs)}


def find_queue(name: str, catalogue: Catalogue, share: float = 1.0) -> Queue | str:
    """The queue `name` over a manifest, or why there is none. `share`: of the label issues, drawn at random."""
    rows = catalogue.rows
    if name == "noise-seeds":
        return _seeds(catalogue)
    if name in ("noise-doubtful", "noise-found"):
        if "noise_prob" not in rows:
            return "run `cleaner noise` first"
        return _noise(catalogue, name)
    if name == "labels":
        return _labels(catalogue, share) if "suggested_label" in rows else "run `cleaner labels` first"
    if name == "calibration":
        return _calibration(catalogue)
    if name == "conflicts":
        return _conflicts(catalogue)
    assert name == "low-count"
    return _low_count(catalogue)


def find_disputes(disputed: dict[tuple[str, str], list[Event]], catalogue: Catalogue) -> Queue:
    """Everything of which annotators say different things, and is still there."""
    listed = [
        (kind, key, events)
        for (kind, key), events in sorted(disputed.items())
        if (key in catalogue.row_of if kind == "image" else key in catalogue.known_labels)
    ]
    row = np.array([catalogue.row_of[key] if kind == "image" else -1 for kind, key, _ in listed], dtype=np.int64)
    given = [_text(catalogue, "label", r) if r >= 0 else key for r, (_, key, _) in zip(row, listed, strict=True)]
    said = [sorted({(e.verdict, e.label) for e in events}) for _, _, events in listed]
    frame = _frame(
        kind=[kind for kind, _, _ in listed], key=[key for _, key, _ in listed], row=row, given=given, suggested="",
        score=np.nan, reason=[" / ".join(sorted({v for v, _ in s})) for s in said],
    )  # fmt: skip
    order = np.argsort(frame["reason"].to_numpy().astype(str), kind="stable")
    return Queue(
        "disagreements",
        frame.iloc[order].reset_index(drop=True),
        choices=lambda i: said[order[i]],
        pictures=lambda i: _of_class(catalogue, listed[order[i]][1]) if listed[order[i]][0] == "class" else [],
        facts=lambda i: [f"{e.annotator or '?'}: {e.verdict} {e.label}".rstrip() for e in listed[order[i]][2]],
    )


def find_audit(sample: pd.DataFrame, catalogue: Catalogue, after_seq: int) -> Queue:
    """A blind sample in its own order: picture and label, nothing else. Columns image_id, label."""
    known = sample[sample["image_id"].isin(catalogue.row_of)].drop_duplicates("image_id")
    row = known["image_id"].map(catalogue.row_of).to_numpy(np.int64)
    frame = _frame(
        kind="image", key=known["image_id"].to_numpy(), row=row, given=known["label"].to_numpy(), suggested="",
        score=np.nan, reason="",
    )  # fmt: skip
    return Queue("audit", frame, after_seq=after_seq)


def queue_of_decision(name: str) -> str:
    """The `queue` that a decision made in queue `name` records."""
    return SETTLE if name == "disagreements" else name


def _frame(**columns: object) -> pd.DataFrame:
    frame = pd.DataFrame({k: v for k, v in columns.items() if not isinstance(v, str | float)})
    for name, value in columns.items():
        if isinstance(value, str | float):
            frame[name] = pd.Series([value] * len(frame), dtype=object if isinstance(value, str) else np.float64)
    return frame


def _text(catalogue: Catalogue, column: str, row: int) -> str:
    return str(catalogue.rows[column].iloc[row])


def _first_of_content(catalogue: Catalogue, wanted: np.ndarray) -> np.ndarray:
    """Rows of `wanted` (N,) bool with a readable image, the first of each image_id."""
    rows = np.flatnonzero(
        wanted & catalogue.rows["readable"].to_numpy() & (catalogue.rows["image_id"] != "").to_numpy()
    )
    ids = pd.Series(catalogue.rows["image_id"].to_numpy()[rows])
    return rows[~ids.duplicated().to_numpy()]


def _of_rows(catalogue: Catalogue, rows: np.ndarray, suggested: object, score: object, reason: object) -> pd.DataFrame:
    return _frame(
        kind="image", key=catalogue.rows["image_id"].to_numpy()[rows], row=rows,
        given=catalogue.rows["label"].astype(object).to_numpy()[rows], suggested=suggested, score=score, reason=reason,
    )  # fmt: skip


def _in_order(frame: pd.DataFrame, doubt: np.ndarray, grouped: bool) -> pd.DataFrame:
    """Most doubtful first; with `grouped` given -> suggested together, the group with the greatest doubt first."""
    if not grouped:
        return frame.iloc[np.argsort(-doubt, kind="stable")].reset_index(drop=True)
    group = frame.groupby(["given", "suggested"], sort=False).ngroup().to_numpy()
    worst = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(worst, group, doubt)
    return frame.iloc[np.lexsort((-doubt, group, -worst[group]))].reset_index(drop=True)


def _seeds(catalogue: Catalogue) -> Queue:
    rows = catalogue.rows
    there = _first_of_content(catalogue, (rows["drop_stage"] != "scan").to_numpy())
    mode = rows["mode"].astype(object).to_numpy()[there]
    odd = ~np.isin(mode, ("RGB", "YCbCr"))
    colors, std = (
        rows[c].to_numpy()[there].astype(np.float64) if c in rows else np.full(len(there), np.nan)
        for c in ("num_colors", "pixel_std")
    )
    few = pd.Series(-colors).rank(pct=True).fillna(0.5).to_numpy()
    flat = pd.Series(-std).rank(pct=True).fillna(0.5).to_numpy()
    wanted = odd | (few > 1 - _ODD_SHARE) | (flat > 1 - _ODD_SHARE)
    reason = np.where(odd, "mode " + mode.astype(object), np.where(few >= flat, "few colours", "little contrast"))
    oddness = (odd + np.maximum(few, (few + flat) / 2)) / 2
    frame = _of_rows(catalogue, there[wanted], "", oddness[wanted], reason[wanted])

    def facts(i: int) -> list[str]:
        row = int(frame["row"].iloc[i])
        return [str(frame["reason"].iloc[i]), *_colours(catalogue, row)]

    frame = _in_order(frame, frame["score"].to_numpy(), grouped=False)
    return Queue("noise-seeds", frame, score_name="oddness", facts=facts)


def _colours(catalogue: Catalogue, row: int) -> list[str]:
    if "num_colors" not in catalogue.rows:
        return []
    colors, std = int(catalogue.rows["num_colors"].iloc[row]), float(catalogue.rows["pixel_std"].iloc[row])
    return [f"{colors:,} colours", *(["little contrast"] if std < _FLAT_STD else [])]


def _noise(catalogue: Catalogue, name: str) -> Queue:
    rows = catalogue.rows
    prob, found = rows["noise_prob"].to_numpy().astype(np.float64), rows["is_noise"].to_numpy()
    doubtful = (prob > catalogue.settings["doubtful"]) & (prob <= catalogue.settings["threshold"]) & ~found
    there = _first_of_content(catalogue, found if name == "noise-found" else doubtful)
    evidence = rows["noise_evidence"].astype(object).to_numpy()[there]
    number = rows["noise_round"].to_numpy()[there]
    by_round = np.array([f"round {n}" if n > 0 else e for n, e in zip(number, evidence, strict=True)], dtype=object)
    frame = _of_rows(catalogue, there, "", prob[there], by_round if name == "noise-found" else "in the doubtful band")
    ordered = _in_order(frame, -np.abs(frame["score"].to_numpy() - 0.5), grouped=False)

    def facts(i: int) -> list[str]:
        row = int(ordered["row"].iloc[i])
        return [f"noise {ordered['score'].iloc[i]:.0%}", str(ordered["reason"].iloc[i]), *_colours(catalogue, row)]

    return Queue(name, ordered, score_name="noise probability", facts=facts)


def _labels(catalogue: Catalogue, share: float) -> Queue:
    rows = catalogue.rows
    wanted = (rows["label_issue"] != "").to_numpy()
    there = _first_of_content(catalogue, wanted)
    if share < 1:  # by the content's digest, so that every run draws the same ones
        ids = rows["image_id"].to_numpy()[there]
        there = there[np.array([int(i[:12], 16) / 16**12 < share for i in ids], dtype=bool)]
    sure = rows["suggested_prob"].to_numpy()[there].astype(np.float64)
    prob = rows["label_issue_prob"].to_numpy()[there].astype(np.float64)
    own = np.nan_to_num(rows["self_confidence"].to_numpy()[there].astype(np.float64))
    kept = np.where(rows["keep"].to_numpy()[there], "kept", "dropped")
    reason = rows["label_issue"].astype(object).to_numpy()[there] + ", " + kept
    by_rule = not np.isnan(prob).all()  # the rule recipe has no probabilities
    score, score_name = (prob, "probability of a wrong label") if by_rule else (sure, "confidence in the suggestion")
    doubt = np.where(np.isnan(prob), -1, -np.abs(prob - 0.5)) if by_rule else 1 - (np.nan_to_num(sure) - own)
    frame = _of_rows(catalogue, there, rows["suggested_label"].astype(object).to_numpy()[there], score, reason)
    ordered = _in_order(frame, doubt, grouped=True)
    confused = _confusions(catalogue, wanted)

    def choices(i: int) -> list[Verdict]:
        given, first = str(ordered["given"].iloc[i]), str(ordered["suggested"].iloc[i])
        names = [first, *(n for n in confused.get(given, []) if n not in (first, given))]
        return [("label", n) for n in names[:_NUM_CHOICES] if n]

    def facts(i: int) -> list[str]:
        row = int(ordered["row"].iloc[i])
        said = [str(ordered["reason"].iloc[i])]
        if by_rule and not np.isnan(ordered["score"].iloc[i]):
            said.append(f"wrong label: {ordered['score'].iloc[i]:.0%}")
        said.append(f"{ordered['given'].iloc[i]}: {float(rows['self_confidence'].iloc[row]):.0%}")
        return [*said, f"{ordered['suggested'].iloc[i]}: {float(rows['suggested_prob'].iloc[row]):.0%}"]

    return Queue("labels", ordered, score_name=score_name, choices=choices, facts=facts)


def _calibration(catalogue: Catalogue) -> Queue | str:
    """Images from all tenths of the probability of a wrong label, in random order and without what models say.

    Verdicts spread evenly mend the probabilities of all images best (docs/experiments.md). Drawn by the content's
    digest, so that every run draws the same ones.
    """
    rows = catalogue.rows
    if "label_issue_prob" not in rows or rows["label_issue_prob"].isna().all():
        return "run `cleaner labels` first, with the rule auto"
    there = _first_of_content(catalogue, rows["label_issue_prob"].notna().to_numpy())
    key = rows["image_id"].to_numpy().astype(str)[there]
    prob = rows["label_issue_prob"].to_numpy()[there]
    tenth = np.minimum((prob * _NUM_TENTHS).astype(int), _NUM_TENTHS - 1)
    order = np.argsort(key, kind="stable")
    place = pd.Series(tenth[order]).groupby(tenth[order]).cumcount().to_numpy()
    return Queue("calibration", _of_rows(catalogue, there[order[place < _OF_EACH_TENTH]], "", np.nan, ""))


def _confusions(catalogue: Catalogue, issue: np.ndarray) -> dict[str, list[str]]:
    """For each given label what its label issues were taken for, the most frequent first."""
    pairs = catalogue.rows.loc[issue, ["label", "suggested_label"]].astype(object)
    counts = pairs.value_counts().reset_index()
    return {str(label): [str(p) for p in of["suggested_label"]] for label, of in counts.groupby("label", sort=False)}


def _conflicts(catalogue: Catalogue) -> Queue:
    """One item for equal pixels under several labels; its key is the copy with the best claim."""
    rows = catalogue.rows
    mine = np.flatnonzero(rows["label_conflict"].to_numpy() & rows["readable"].to_numpy() & (catalogue.copies >= 0))
    rank = (
        rows["given_rank"].to_numpy()[mine].astype(np.int64) if "given_rank" in rows else np.zeros(len(mine), np.int64)
    )
    rank = np.where(rank < 0, np.iinfo(np.int32).max, rank)
    order = np.lexsort((mine, rank, ~rows["keep"].to_numpy()[mine], catalogue.copies[mine]))
    mine = mine[order]
    starts = np.flatnonzero(np.diff(catalogue.copies[mine], prepend=-1))
    groups = np.split(mine, starts[1:]) if len(mine) else []
    label = rows["label"].astype(object).to_numpy()
    under = [list(dict.fromkeys(str(n) for n in label[g])) for g in groups]
    firsts = np.array([g[0] for g in groups], dtype=np.int64)
    frame = _of_rows(catalogue, firsts, [" · ".join(u[1:]) for u in under], np.nan, [f"{len(u)} labels" for u in under])
    order = np.lexsort(
        (frame["suggested"].to_numpy(str), frame["given"].to_numpy(str), np.array([-len(u) for u in under], np.int64))
    )
    return Queue(
        "conflicts",
        frame.iloc[order].reset_index(drop=True),
        choices=lambda i: [("label", name) for name in under[order[i]]],
        facts=lambda i: [str(rows["file_name"].iloc[r]) for r in groups[order[i]]],
    )


def _low_count(catalogue: Catalogue) -> Queue:
    rows = catalogue.rows
    kept = rows["keep"].to_numpy()
    label = rows["clean_label"].astype(object)
    size = label[kept].value_counts().reindex(catalogue.labels).fillna(0).astype(int)
    action = pd.Series("", index=catalogue.labels, dtype=object)
    if "class_action" in rows:
        known = rows[["clean_label", "class_action"]].astype(object).drop_duplicates("clean_label")
        action.update(known.set_index("clean_label")["class_action"])
    suspected = catalogue.findings
    action.update(pd.Series("review", index=suspected.index[action.reindex(suspected.index).eq("")], dtype=object))
    low = (size < catalogue.settings["min_count"]) | action.isin(["drop", "review"])
    low &= pd.Series(catalogue.labels, index=catalogue.labels).isin(set(label[rows["readable"].to_numpy()]))
    names = np.array([n for n in catalogue.labels if low[n]], dtype=object)
    doubt = np.array([{"review": 2.0, "drop": 1.0}.get(action[n], 0.0) - size[n] * 1e-7 for n in names])
    frame = _frame(
        kind="class", key=names, row=np.full(len(names), -1), given=names, suggested="", score=np.nan,
        reason=[f"to {a}" if a in ("review", "drop") else "kept" if a else "small" for a in action[names]],
    )  # fmt: skip
    ordered = _in_order(frame, doubt, grouped=False)
    taken_for: dict[str, list[str]] = {}
    if "suggested_label" in rows:
        taken_for = _confusions(catalogue, (rows["suggested_label"] != "").to_numpy())

    def key(i: int) -> str:
        return str(ordered["key"].iloc[i])

    def choices(i: int) -> list[Verdict]:
        found = suspected["overlaps_with"].get(key(i), "")
        names = [found, *(n for n in taken_for.get(key(i), []) if n not in (key(i), found))]
        return [("merge", n) for n in names if n][:_NUM_CHOICES]

    def facts(i: int) -> list[str]:
        said = [f"{size[key(i)]} images kept", str(ordered["reason"].iloc[i])]
        return said + [_suspicion(found) for label, found in suspected.iterrows() if label == key(i)]

    return Queue("low-count", ordered, choices=choices, pictures=lambda i: _of_class(catalogue, key(i)), facts=facts)


def _suspicion(found: pd.Series[Any]) -> str:
    """What the labels stage found of a class, in words."""
    if found["finding"] == "jumbled":
        return f"looks like a jumble: {found['recognised_with']:.0%} recognised"
    return f"looks like one with {found['overlaps_with']}: {found['separability']:.0%} told apart, where 50% is chance"


def _of_class(catalogue: Catalogue, label: str) -> list[str]:
    """Some images of a class, evenly taken, also those that a later stage dropped with it."""
    rows = catalogue.rows
    mine = (rows["clean_label"] == label).to_numpy() & ~rows["drop_stage"].isin(["scan", "noise"]).to_numpy()
    found = _first_of_content(catalogue, mine)
    picked = found[np.unique(np.linspace(0, len(found) - 1, min(len(found), _NUM_GLANCE)).round().astype(int))]
    return [str(i) for i in rows["image_id"].to_numpy()[picked]]


def find_page(
    queue: Queue, wanted: np.ndarray, start: int, limit: int, skip: Callable[[tuple[str, str]], bool]
) -> Iterator[int]:
    """Up to `limit` positions from `start` on that are `wanted` (n,) bool and not to be skipped."""
    kinds, keys = queue.items["kind"].to_numpy(), queue.items["key"].to_numpy()
    num = 0
    for position in np.flatnonzero(wanted[start:]) + start:
        if num == limit:
            return
        if not skip((str(kinds[position]), str(keys[position]))):
            num += 1
            yield int(position)
