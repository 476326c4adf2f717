"""A queue: a kind of question, its items in order, and what can be decided on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from cleaner.dataset.events import SETTLE, Event
from cleaner.dataset.workspace import Workspace
from cleaner.review.catalogue import Catalogue
from cleaner.review.label_refit import LabelRefit
from cleaner.review.ledger import Answers, Key, Ledger

if TYPE_CHECKING:
    from cleaner.review.noise_refit import NoiseRefit

Verdict: TypeAlias = tuple[str, str]
"""Verdict and label, as a decision records them."""
Action: TypeAlias = tuple[str, str, str, str]
"""Key, text, verdict and label of a decision that one key press makes."""
GIVEN = "="
"""As a label: the given label of the item."""

LABEL_ACTIONS: tuple[Action, ...] = (
    ("k", "Keep label", "label", GIVEN),
    ("d", "Drop", "drop", ""),
    ("n", "Noise", "noise", ""),
    ("u", "Unsure", "unsure", ""),
)
CLASS_ACTIONS: tuple[Action, ...] = (("k", "Keep class", "keep", ""), ("d", "Drop class", "drop", ""))
NUM_CHOICES = 4
"""Suggested verdicts of an item, at most."""


@dataclass(frozen=True)
class Sources:
    """What queues are made from."""

    workspace: Workspace
    catalogue: Catalogue
    ledger: Ledger
    share: float = 1.0
    """Share of the label issues to look at, drawn at random."""
    noise: NoiseRefit | None = None
    """The noise model that follows people's answers, where features are there."""

    @cached_property
    def labels(self) -> LabelRefit | None:
        """What follows people's verdicts on labels, where a run of the labels stage left its predictions."""
        return LabelRefit.open(self.workspace, self.catalogue)


@dataclass(frozen=True, kw_only=True)
class QueueKind:
    """What a queue asks, where its items come from, and which decisions answer it."""

    name: str
    title: str
    question: str
    find: Callable[[QueueKind, Sources], Queue]
    """Makes the queue; one without items that says why it is absent, where there is nothing to make it from."""
    follow: Callable[[Sources], None] = lambda sources: None
    """Learns from all answers so far; called before the first page is shown, and may take its time."""
    version: Callable[[Sources], object] = lambda sources: None
    """Changes when the queue has to be made again, besides with every new manifest."""
    actions: tuple[Action, ...] = LABEL_ACTIONS
    """The decisions on an image that one key press makes."""
    answers: Callable[[Event], bool] = lambda event: True
    """Whether an annotator's last decision on an item answers the question of this queue."""
    decision_queue: str = ""
    """The queue that decisions record, if it is not `name`."""
    is_audit: bool = False
    """Shows pictures and given labels alone, takes decisions on its own items alone, and counts no others."""
    fills_when: str = ""
    """What has to happen before there are items, in words that follow `It fills when`."""
    applied_by: str = "status"
    """The command that applies the decisions; `status`, which names it, if that depends."""
    is_open_ended: bool = False
    """Whether the queue ends when its goal is reached, not when all items are decided."""
    is_grouped: bool = False
    """Whether items of equal given and suggested labels stand together under a heading."""
    shows_given: bool = True
    """Whether a card shows the given label; else it shows the labels to choose from."""
    covers_copies: bool = False
    """Whether a decision on an image holds for all contents with equal pixels."""

    @property
    def recorded_queue(self) -> str:
        """The `queue` of decisions made here."""
        return self.decision_queue or self.name


@dataclass(frozen=True)
class Queue:
    """The items of a queue in their order."""

    kind: QueueKind
    items: pd.DataFrame
    """n rows: kind, key, row (of the manifest; -1: none), given, suggested, score, reason; ordered, groups together."""
    score_name: str = ""
    """What `score` (0 .. 1) means; empty: there is none."""
    choices: Callable[[int], list[Verdict]] = lambda position: []
    """What the number keys decide on the item at a position."""
    pictures: Callable[[int], list[str]] = lambda position: []
    """The image ids of a class, for a glance."""
    facts: Callable[[int], list[str]] = lambda position: []
    """What is known of an item, in words."""
    learns: bool = False
    """Whether its order follows the answers: a page that is answered whole is followed by one chosen anew."""
    choose: Callable[[int], dict[int, str]] | None = None
    """Picks so many items to ask about next: their positions, in order, and why; None: the next of the queue."""
    left: Callable[[], dict[str, Any] | None] = lambda: None
    """What is likely left of what the queue looks for, as JSON values; None where nobody knows."""
    hint: Callable[[Ledger], str] = lambda ledger: ""
    """How far the annotator has come towards enough answers, in words."""
    after_seq: int = 0
    """In the audit: only later decisions count."""
    absent: str = ""
    """Why there is no such queue now: what to do to get it."""

    @cached_property
    def keys(self) -> list[Key]:
        """Kind and key of each item."""
        return [(str(k), str(v)) for k, v in zip(self.items["kind"], self.items["key"], strict=True)]

    @cached_property
    def position_of(self) -> dict[Key, int]:
        """The position of each item, by kind and key."""
        return {key: i for i, key in enumerate(self.keys)}

    def find_answer(self, ledger: Ledger, key: Key) -> Event | None:
        """The annotator's own decision that answers what this queue asks of an item, or None."""
        if self.kind.is_audit:
            event = ledger.mine_in_audit.get(key[1])
            return event if event is not None and (event.seq or 0) > self.after_seq else None
        event = ledger.mine.get(key)
        return event if event is not None and self.kind.answers(event) else None

    def find_done(self, ledger: Ledger) -> set[Key]:
        """The items that the annotator has answered."""
        here = self.position_of
        return {key for key in list(ledger.mine) if key in here and self.find_answer(ledger, key) is not None}

    def find_answered(self, ledger: Ledger) -> set[Key]:
        """The items that anybody has answered. Disagreements are there only as long as they are open."""
        if self.kind.recorded_queue == SETTLE:
            return set()
        return {key for key, answers in ledger.answers.items() if key in self.position_of and self._answers(answers)}

    def _answers(self, answers: Answers) -> bool:
        if self.kind.is_audit:
            return any((e.seq or 0) > self.after_seq for e in answers.last_in_audit)
        return any(map(self.kind.answers, answers.last))


def absent_queue(kind: QueueKind, why: str) -> Queue:
    """A queue that is not there, and what to do about it."""
    return Queue(kind, make_items(kind=[], key=[], row=[], given="", suggested="", score=np.nan, reason=""), absent=why)


def make_items(**columns: object) -> pd.DataFrame:
    """The table of items; a text or number is that of every row."""
    frame = pd.DataFrame({k: v for k, v in columns.items() if not isinstance(v, str | float)})
    for name, value in columns.items():
        if isinstance(value, str | float):
            frame[name] = pd.Series([value] * len(frame), dtype=object if isinstance(value, str) else np.float64)
    return frame


def make_image_items(
    catalogue: Catalogue, rows: np.ndarray, suggested: object = "", score: object = np.nan, reason: object = ""
) -> pd.DataFrame:
    """An item for each of `rows` (n,) int64 of the manifest."""
    return make_items(
        kind="image",
        key=catalogue.rows["image_id"].to_numpy()[rows],
        row=rows,
        given=catalogue.rows["label"].astype(object).to_numpy()[rows],
        suggested=suggested,
        score=score,
        reason=reason,
    )


def first_of_content(catalogue: Catalogue, wanted: np.ndarray) -> np.ndarray:
    """Rows of `wanted` (N,) bool with a readable image, the first of each image_id: (n,) int64."""
    has_content = (catalogue.rows["image_id"] != "").to_numpy()
    rows = np.flatnonzero(wanted & catalogue.rows["readable"].to_numpy() & has_content)
    ids = pd.Series(catalogue.rows["image_id"].to_numpy()[rows])
    return rows[~ids.duplicated().to_numpy()]


def most_doubtful_first(items: pd.DataFrame, doubt: np.ndarray, *, grouped: bool = False) -> pd.DataFrame:
    """Items by `doubt` (n,), descending; `grouped`: equal given and suggested labels together, worst group first."""
    if not grouped:
        return items.iloc[np.argsort(-doubt, kind="stable")].reset_index(drop=True)
    group = items.groupby(["given", "suggested"], sort=False).ngroup().to_numpy()
    worst = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(worst, group, doubt)
    return items.iloc[np.lexsort((-doubt, group, -worst[group]))].reset_index(drop=True)
