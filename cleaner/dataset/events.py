"""People's decisions as events, and the verdicts that result from them.

The rules for the events of one key (an image's content or a class), oldest first:

- An event that another one undoes does not count; undoing the undo restores it.
- An annotator's last event counts. `unsure` is an abstention: it withdraws the annotator's earlier verdict.
- If annotators differ in verdict or label, the key is undecided.
- An event in the queue `settle` overrules everything before it; from there on the same rules apply, with the
  settler as one of the annotators.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cleaner.errors import BadInputError

VERDICTS = {"image": ("label", "noise", "normal", "drop", "unsure"), "class": ("keep", "drop", "merge")}
"""The verdicts on each kind of key."""
EVENT_COLUMNS = ("seq", "kind", "key", "queue", "verdict", "label", "annotator", "time_utc", "undoes_seq")
SETTLE = "settle"
"""The queue whose events overrule all earlier ones."""

_WITH_LABEL = ("label", "merge")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One decision of one annotator. `seq` is None until it is stored."""

    kind: str
    key: str
    verdict: str
    """One of `VERDICTS[kind]`; empty in an event that only undoes another."""
    label: str = ""
    queue: str = ""
    annotator: str = ""
    time_utc: str = ""
    undoes_seq: int | None = None
    seq: int | None = None

    def check(self) -> None:
        """Raise BadInputError unless the parts of this event fit together."""
        if self.kind not in VERDICTS:
            raise BadInputError(f"a decision of kind {self.kind!r}", expected=" or ".join(VERDICTS))
        if not self.key or (self.kind == "image" and not _IMAGE_ID.fullmatch(self.key)):
            expected = "an image_id: 64 hex digits, lower case" if self.kind == "image" else "the name of a class"
            raise BadInputError(f"a decision on {self.kind} {self.key!r}", expected=expected)
        if self.verdict not in VERDICTS[self.kind] and not (self.verdict == "" and self.undoes_seq is not None):
            raise BadInputError(f"verdict {self.verdict!r} on {self._named()}", expected=", ".join(VERDICTS[self.kind]))
        if (self.verdict in _WITH_LABEL) != bool(self.label):
            expected = "the right class in `label`" if self.verdict in _WITH_LABEL else "no `label`"
            raise BadInputError(
                f"verdict {self.verdict!r} on {self._named()}", expected=expected, found=f"label {self.label!r}"
            )
        if self.verdict == "merge" and self.label == self.key:
            raise BadInputError(f"class {self.key!r} cannot be merged into itself")
        for text in (self.key, self.label, self.queue, self.annotator, self.time_utc):
            if not text.isascii() and text != text.encode("utf-8", "replace").decode():
                raise BadInputError(f"a decision on {self._named()} holds text that is not Unicode: {text!r}")

    def _named(self) -> str:
        return f"image {self.key[:12]}…" if self.kind == "image" else f"class {self.key!r}"


def find_undone(events: list[Event]) -> set[int]:
    """The `seq` of events that are undone. An undo names an earlier event, so the latest are looked at first."""
    gone: set[int] = set()
    for event in reversed(events):
        if event.undoes_seq is not None and event.seq not in gone:
            gone.add(event.undoes_seq)
    return gone


def find_standing(events: Iterable[Event]) -> dict[tuple[str, str], list[Event]]:
    """Each annotator's last event in force, by kind and key, oldest first; abstentions are left out."""
    listed = list(events)
    gone = find_undone(listed)
    last: dict[tuple[str, str], dict[str, Event]] = {}
    for event in listed:
        if event.seq in gone or not event.verdict:
            continue
        of_key = last.setdefault((event.kind, event.key), {})
        if event.queue == SETTLE:
            of_key.clear()
        of_key.pop(event.annotator, None)  # annotators are ordered by their last events
        of_key[event.annotator] = event
    return {key: [e for e in events.values() if e.verdict != "unsure"] for key, events in last.items()}


def differ(standing: list[Event]) -> bool:
    """Whether the annotators of one key disagree."""
    return len({(e.verdict, e.label) for e in standing}) > 1


def agreed(standing: dict[tuple[str, str], list[Event]]) -> dict[tuple[str, str], Event]:
    """The verdict in force of each key on which annotators agree: the latest event that gives it."""
    return {key: events[-1] for key, events in standing.items() if events and not differ(events)}
