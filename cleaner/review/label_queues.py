"""Queues of labels: issues by group, a blind sample for calibration, and one picture under several labels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleaner.dataset.events import Event
from cleaner.review.catalogue import Catalogue
from cleaner.review.label_refit import LabelFit
from cleaner.review.queue import (
    NUM_CHOICES,
    Queue,
    QueueKind,
    Sources,
    Verdict,
    absent_queue,
    first_of_content,
    make_image_items,
    most_doubtful_first,
)

_LEAST_GAIN = 0.001
"""Smaller chances that a look changes something count alike."""
_NUM_TENTHS, _OF_EACH_TENTH = 10, 30
"""The calibration queue: at most 30 images from each tenth of the probability of a wrong label."""


def answers_label_question(event: Event) -> bool:
    """Whether a decision judges the label: `normal` does not, nor does `unsure` about noise."""
    return event.verdict != "normal" and not (event.verdict == "unsure" and event.queue.startswith("noise"))


def find_label_issues(kind: QueueKind, sources: Sources) -> Queue:
    """The label issues, or a share of them: those first where a look is likeliest to change what becomes of them."""
    catalogue = sources.catalogue
    rows = catalogue.rows
    if "suggested_label" not in rows:
        return absent_queue(kind, "run `cleaner labels` first")
    found = (sources.labels and sources.labels.last_fit) or _read_fit(rows)
    wanted = (rows["label_issue"] != "").to_numpy() | found.is_candidate
    there = first_of_content(catalogue, wanted)
    if sources.share < 1:  # by the content's digest, so that every run draws the same ones
        ids = rows["image_id"].to_numpy()[there]
        there = there[np.array([int(i[:12], 16) / 16**12 < sources.share for i in ids], dtype=bool)]
    sure, prob = found.suggested_prob[there], found.issue_prob[there]
    own = np.nan_to_num(rows["self_confidence"].to_numpy()[there].astype(np.float64))
    is_kept = rows["keep"].to_numpy()[there]
    kind_of_issue = rows["label_issue"].astype(object).to_numpy()[there]
    kind_of_issue[kind_of_issue == ""] = "fine"  # flagged since the last run
    reason = kind_of_issue + np.where(is_kept, ", kept", ", dropped")
    by_rule = not np.isnan(prob).all()  # the rule recipe has no probabilities
    score, score_name = (prob, "probability of a wrong label") if by_rule else (sure, "confidence in the suggestion")
    items = make_image_items(catalogue, there, found.suggested[there], score, reason)
    if by_rule:
        relabelled = (rows["clean_label"].astype(object) != rows["label"].astype(object)).to_numpy()[there]
        dropped_for_it = rows["drop_reason"].astype(str).str.startswith("label_issue").to_numpy()[there]
        is_wrong = np.where(found.would_drop[there], 1 - prob, np.where(is_kept & relabelled, 1 - sure, prob))
        is_wrong[~is_kept & ~dropped_for_it] = np.nan  # what another stage dropped is not decided here
        ordered = most_gain_first(items, is_wrong, own)
    else:
        ordered = most_doubtful_first(items, 1 - (np.nan_to_num(sure) - own), grouped=True)
    confused = count_confusions(catalogue, wanted)

    def choices(i: int) -> list[Verdict]:
        given, first = str(ordered["given"].iloc[i]), str(ordered["suggested"].iloc[i])
        names = [first, *(n for n in confused.get(given, []) if n not in (first, given))]
        return [("label", n) for n in names[:NUM_CHOICES] if n]

    def facts(i: int) -> list[str]:
        row = int(ordered["row"].iloc[i])
        known = [str(ordered["reason"].iloc[i])]
        if by_rule and not np.isnan(ordered["score"].iloc[i]):
            known.append(f"wrong label: {ordered['score'].iloc[i]:.0%}")
        known.append(f"{ordered['given'].iloc[i]}: {float(rows['self_confidence'].iloc[row]):.0%}")
        known.append(f"{ordered['suggested'].iloc[i]}: {found.suggested_prob[row]:.0%}")
        return [*known, *catalogue.votes.words(row)]

    learns = sources.labels is not None
    return Queue(kind, ordered, score_name=score_name, choices=choices, facts=facts, learns=learns)


def follow_labels(sources: Sources) -> None:
    """Estimate the probabilities anew from all verdicts so far, where there is something to estimate them from."""
    if sources.labels:
        sources.labels.follow(sources.ledger)


def find_label_fit(sources: Sources) -> object:
    """Changes with every new estimate."""
    return sources.labels.version if sources.labels else None


def _read_fit(rows: pd.DataFrame) -> LabelFit:
    """The probabilities and drops of the last run, by its manifest."""
    dropped = ~rows["keep"] & rows["drop_reason"].astype(str).str.startswith("label_issue")
    return LabelFit(
        issue_prob=rows["label_issue_prob"].to_numpy().astype(np.float64),
        is_candidate=(rows["label_issue"] != "").to_numpy(),
        would_drop=dropped.to_numpy(),
        suggested=rows["suggested_label"].astype(object).to_numpy(),
        suggested_prob=rows["suggested_prob"].to_numpy().astype(np.float64),
    )


def most_gain_first(items: pd.DataFrame, gain: np.ndarray, own: np.ndarray) -> pd.DataFrame:
    """Items by `gain` (n,), the probability that what was decided on them is wrong, NaN last.

    That is a wrong label among the kept, or a right one among the dropped: a look at it mends one expected error. Where
    the odds differ by less than a factor of two, and below one in a thousand, those go first that are recognised least,
    by the probability `own` (n,) of the given label: they teach the model most.
    """
    known = np.clip(np.nan_to_num(gain, nan=0), _LEAST_GAIN, 1 - _LEAST_GAIN)
    band = np.where(np.isnan(gain), -np.inf, np.floor(np.log2(known / (1 - known))))
    return items.iloc[np.lexsort((own, -band))].reset_index(drop=True)


def find_calibration_sample(kind: QueueKind, sources: Sources) -> Queue:
    """Images from all tenths of the probability of a wrong label, in random order and without what models say.

    Verdicts spread evenly calibrate the probabilities of all images best (docs/experiments.md). Drawn by the content's
    digest, so that every run draws the same ones.
    """
    catalogue = sources.catalogue
    rows = catalogue.rows
    if "label_issue_prob" not in rows or rows["label_issue_prob"].isna().all():
        return absent_queue(kind, "run `cleaner labels` first, with the rule auto")
    there = first_of_content(catalogue, rows["label_issue_prob"].notna().to_numpy())
    key = rows["image_id"].to_numpy().astype(str)[there]
    prob = rows["label_issue_prob"].to_numpy()[there]
    tenth = np.minimum((prob * _NUM_TENTHS).astype(int), _NUM_TENTHS - 1)
    order = np.argsort(key, kind="stable")
    place = pd.Series(tenth[order]).groupby(tenth[order]).cumcount().to_numpy()
    return Queue(kind, make_image_items(catalogue, there[order[place < _OF_EACH_TENTH]]))


def count_confusions(catalogue: Catalogue, issue: np.ndarray) -> dict[str, list[str]]:
    """For each given label the labels suggested instead where `issue` (N,) bool, the most frequent first."""
    pairs = catalogue.rows.loc[issue, ["label", "suggested_label"]].astype(object)
    counts = pairs.value_counts().reset_index()
    return {str(label): [str(p) for p in of["suggested_label"]] for label, of in counts.groupby("label", sort=False)}


def likely_labels(given: str, first: str, confused: dict[str, list[str]]) -> list[str]:
    """At most NUM_CHOICES labels other than `given`: `first` if there is one, then the most frequent confusions."""
    return [name for name in dict.fromkeys([first, *confused.get(given, [])]) if name and name != given][:NUM_CHOICES]


def find_conflicts(kind: QueueKind, sources: Sources) -> Queue:
    """One item for equal pixels under several labels; its key is the copy whose label fits best."""
    catalogue = sources.catalogue
    rows = catalogue.rows
    groups = _conflict_groups(catalogue)
    label = rows["label"].astype(object).to_numpy()
    under = [list(dict.fromkeys(str(n) for n in label[g])) for g in groups]
    firsts = np.array([g[0] for g in groups], dtype=np.int64)
    others, reasons = [" · ".join(u[1:]) for u in under], [f"{len(u)} labels" for u in under]
    items = make_image_items(catalogue, firsts, others, reason=reasons)
    num_labels = np.array([len(u) for u in under], np.int64)
    order = np.lexsort((items["suggested"].to_numpy(str), items["given"].to_numpy(str), -num_labels))
    return Queue(
        kind,
        items.iloc[order].reset_index(drop=True),
        choices=lambda i: [("label", name) for name in under[order[i]]],
        facts=lambda i: [str(rows["file_name"].iloc[r]) for r in groups[order[i]]],
    )


def _conflict_groups(catalogue: Catalogue) -> list[np.ndarray]:
    """Rows (n,) int64 of equal pixels under several labels: the kept ones first, then by rank."""
    rows, copies = catalogue.rows, catalogue.copies
    mine = np.flatnonzero(rows["label_conflict"].to_numpy() & rows["readable"].to_numpy() & (copies >= 0))
    if not len(mine):
        return []
    rank = np.zeros(len(mine), np.int64)
    if "given_rank" in rows:
        rank = rows["given_rank"].to_numpy()[mine].astype(np.int64)
        rank[rank < 0] = np.iinfo(np.int32).max
    mine = mine[np.lexsort((mine, rank, ~rows["keep"].to_numpy()[mine], copies[mine]))]
    starts = np.flatnonzero(np.diff(copies[mine], prepend=-1))
    return np.split(mine, starts[1:])
