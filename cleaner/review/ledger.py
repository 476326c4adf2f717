"""The decisions so far, held in memory and updated from the store before every answer."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from cleaner.dataset.audits import AUDIT_QUEUE
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import SETTLE, Event, differ, find_standing, find_undone
from cleaner.review.agreement import Agreement, compute_agreements

Key = tuple[str, str]
"""Kind (image or class) and key."""


@dataclass(frozen=True)
class Answers:
    """What people said of one image or class; `unsure` counts, what was undone does not."""

    first_seq: int
    """The `seq` of the first thing that still holds."""
    last: list[Event]
    """Each annotator's last decision."""
    last_in_audit: list[Event]
    """Each annotator's last decision in the queue `audit`."""
    in_force: Event | None
    """The verdict that the stages follow; None where annotators differ, or can only be unsure."""

    @classmethod
    def gather(cls, kept: Sequence[Event], standing: list[Event]) -> Answers | None:
        """From the events that were not undone, in their order, and what stands of them; None without any."""
        if not kept:
            return None
        audit = [e for e in kept if e.queue == AUDIT_QUEUE]
        in_force = standing[-1] if standing and not differ(standing) else None
        return cls(kept[0].seq or 0, _last_of_each(kept), _last_of_each(audit), in_force)


class Ledger:
    """The decisions of a workspace as one annotator's page needs them. Threads may share it."""

    def __init__(self, store: DecisionStore, annotator: str) -> None:
        self.store = store
        self.annotator = annotator
        self.version = 0
        """The `seq` of the last event read."""
        self.mine: dict[Key, Event] = {}
        """My last decision on each key, `unsure` too, even if it has been settled since."""
        self.mine_in_audit: dict[str, Event] = {}
        """My last decision in the queue `audit`, by image_id."""
        self.answers: dict[Key, Answers] = {}
        """What people said of each key, by whatever annotator."""
        self.others: set[Key] = set()
        """Keys that another annotator has decided on."""
        self.disputed: dict[Key, list[Event]] = {}
        """The standing decisions on each key on which annotators differ."""
        self._latest_by_others: dict[Key, int] = {}
        self._events: dict[Key, list[Event]] = defaultdict(list)
        self._answers: dict[str, dict[Hashable, Hashable]] = defaultdict(dict)
        self._agreements: tuple[int, list[Agreement]] = (0, [])
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read what this process or another has written since."""
        with self._lock:
            fresh = self.store.events_after(self.version)
            for event in fresh:
                self._events[event.kind, event.key].append(event)
                if event.annotator != self.annotator:
                    self._latest_by_others[event.kind, event.key] = event.seq or 0
            for key in {(e.kind, e.key) for e in fresh}:
                self._judge(key)
            if fresh:
                self.version = fresh[-1].seq or self.version

    def news(self, seq: int) -> dict[Key, list[Event]]:
        """What other annotators now say of the keys that one of them decided on after event `seq`, or took back."""
        with self._lock:
            touched = [key for key, latest in self._latest_by_others.items() if latest > seq]
        return {key: self.said_by_others(key) for key in touched}

    def said_by_others(self, key: Key) -> list[Event]:
        """Each other annotator's last decision on a key, if it still holds."""
        return [e for e in self.answers[key].last if e.annotator != self.annotator] if key in self.answers else []

    def agreements(self) -> list[Agreement]:
        """How annotators agree by their decisions before anything was settled; `unsure` is no answer."""
        with self._lock:
            if self._agreements[0] != self.version:
                self._agreements = (self.version, compute_agreements(self._answers))
            return self._agreements[1]

    def _judge(self, key: Key) -> None:
        events = self._events[key]
        gone = find_undone(events)
        in_force = [e for e in events if e.seq not in gone and e.verdict]
        _put(self.mine, key, _last(in_force, self.annotator))
        if key[0] == "image":
            _put(self.mine_in_audit, key[1], _last((e for e in in_force if e.queue == AUDIT_QUEUE), self.annotator))
        if any(e.annotator != self.annotator for e in in_force):
            self.others.add(key)
        else:
            self.others.discard(key)
        standing = find_standing(events).get(key, [])
        _put(self.answers, key, Answers.gather(in_force, standing))
        _put(self.disputed, key, standing if differ(standing) else None)
        for name in {e.annotator for e in events}:
            last = _last((e for e in in_force if e.queue != SETTLE), name)
            answer = (last.verdict, last.label) if last and last.verdict != "unsure" else None
            _put(self._answers[name], key, answer)


def _last_of_each(events: Iterable[Event]) -> list[Event]:
    return list({e.annotator: e for e in events}.values())


def _last(events: Iterable[Event], annotator: str) -> Event | None:
    mine = [e for e in events if e.annotator == annotator]
    return mine[-1] if mine else None


def _put(table: dict, key: Hashable, value: object) -> None:  # type: ignore[type-arg]
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
