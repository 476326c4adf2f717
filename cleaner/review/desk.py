"""What the page asks for and records: queues, pages of items, decisions. No HTTP here."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import VERDICTS, Event
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, CleanerError
from cleaner.review.catalogue import Catalogue, load_catalogue, signature
from cleaner.review.class_page import describe_class
from cleaner.review.ledger import Key, Ledger
from cleaner.review.paging import PAGE_SIZES, PageRequest, find_matching, find_page
from cleaner.review.queue import CLASS_ACTIONS, GIVEN, Queue, Sources
from cleaner.review.queues import QUEUES, find_kind

if TYPE_CHECKING:
    from cleaner.review.noise_refit import NoiseRefit

logger = logging.getLogger(__name__)

_MAX_PER_REQUEST = 100
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_WHY = {"likely": "likely", "telling": "tells the model most", "random": "at random"}
"""Why a queue chose an item, as the page says it."""


class UnknownItemError(BadInputError):
    """A decision or a question about something that is not in the manifest."""


class Desk:
    """One annotator's view of a workspace. Threads may share it."""

    def __init__(
        self, workspace: Workspace, annotator: str, share: float = 1.0, noise: NoiseRefit | None = None
    ) -> None:
        self.workspace = workspace
        self.annotator = annotator
        self.store = DecisionStore(workspace.decisions_path)
        self.ledger = Ledger(self.store, annotator)
        self._signature = signature(workspace)
        self._sources = Sources(workspace, load_catalogue(workspace), self.ledger, share, noise)
        self._queues: dict[str, tuple[object, Queue]] = {}
        self._lock = threading.RLock()
        self.state()  # makes all queues now, so that the first page need not wait for them

    @property
    def catalogue(self) -> Catalogue:
        """The manifest that is reviewed."""
        return self._sources.catalogue

    def reload(self) -> None:
        """Read the manifest again if a stage has run since; a workspace in the middle of a run changes nothing."""
        with self._lock:
            now = signature(self.workspace)
            if now == self._signature:
                return
            try:
                self._sources = replace(self._sources, catalogue=load_catalogue(self.workspace))
                self._signature = now
                self._queues.clear()
            except CleanerError as error:
                logger.info("the manifest was not read again: %s", error)

    def queue(self, name: str) -> Queue:
        """A queue; where it is absent, one without items. Raises BadInputError for a name that is none."""
        kind = find_kind(name)
        with self._lock:
            version = kind.version(self._sources)
            if name not in self._queues or self._queues[name][0] != version:
                self._queues[name] = (version, kind.find(kind, self._sources))
            return self._queues[name][1]

    def state(self) -> dict[str, Any]:
        """What the page needs to know once, and the progress of each queue."""
        self.reload()
        self.ledger.refresh()
        root = str(self.workspace.root.resolve())
        return {
            "annotator": self.annotator,
            "workspace": Path(root).name,
            "workspace_id": hashlib.sha256(f"{root}\0{self.annotator}".encode("utf-8", "replace")).hexdigest()[:16],
            "stage": self.catalogue.stage,
            "warning": self.catalogue.warning,
            "queues": [self._queue_state(self.queue(name)) for name in QUEUES],
            "agreements": self._agreements(),
            "labels": self.catalogue.labels,
            "page_sizes": PAGE_SIZES,
        }

    def _queue_state(self, queue: Queue) -> dict[str, Any]:
        return {
            "name": queue.kind.name,
            "title": queue.kind.title,
            "question": queue.kind.question,
            "applied_by": queue.kind.applied_by,
            "is_blind": queue.kind.is_audit,
            "fills_when": queue.kind.fills_when,
            "is_grouped": queue.kind.is_grouped,
            "is_open_ended": queue.kind.is_open_ended,
            "shows_given": queue.kind.shows_given,
            "absent": queue.absent,
            "num": len(queue.items),
            "done": len(queue.find_done(self.ledger)),
            "is_reached": queue.kind.is_open_ended and bool((queue.left() or {}).get("is_reached")),
        }

    def news(self, after: int) -> dict[str, Any]:
        """What other annotators decided on, or took back, after event `after`; `seq` is what to ask with next.

        Nothing of that is said before an audit's images are judged: the page shows no one else's marks there.
        """
        self.ledger.refresh()
        said = self.ledger.news(after)
        return {
            "seq": self.ledger.version,
            "said": [{"kind": k, "key": v, "others": _others(events)} for (k, v), events in said.items()],
        }

    def describe_class(self, label: str) -> dict[str, Any]:
        """What the page of a class shows beside its images."""
        return describe_class(self.catalogue, label)

    def _agreements(self) -> list[dict[str, Any]]:
        return [
            {
                "with": [a.first, a.second],
                "both": a.num_both,
                "equal": a.num_equal,
                "kappa": None if math.isnan(a.kappa) else round(a.kappa, 3),
            }
            for a in self.ledger.agreements()
        ]

    def page(self, name: str, request: PageRequest) -> dict[str, Any]:
        """A page of a queue, and how many items its filter leaves.

        Raises BadInputError for a queue that does not exist, or is absent now.
        """
        self.ledger.refresh()
        if request.start == 0:
            find_kind(name).follow(self._sources)  # takes its time, and holds up nobody else
        with self._lock:
            queue, catalogue = self.queue(name), self.catalogue
        if queue.absent:
            raise BadInputError(f"the queue {name} is not there", next_step=queue.absent)
        wanted = find_matching(queue, catalogue, request)
        done = queue.find_done(self.ledger)
        why: dict[int, str] = {}
        if queue.choose is not None and request.is_plain:
            why, following = queue.choose(request.limit), None
            positions = list(why)
        else:
            positions, following = find_page(queue, wanted, request, done, self.ledger)
        done_here = np.array([queue.position_of[k] for k in done], dtype=np.int64)
        items = queue.items
        return {
            "name": name,
            "queue": self._queue_state(queue),
            "seq": self.ledger.version,
            "items": [self._item(queue, p, catalogue, why.get(p, "")) for p in positions],
            "is_chosen": bool(why),
            "learns": queue.learns and request.status in ("todo", "nobody"),
            "left": queue.left(),
            "start": request.start,
            "next": following,
            "num": len(items),
            "done": len(done),
            "matching": int(wanted.sum()),
            "matching_done": int(wanted[done_here].sum()),
            "hint": queue.hint(self.ledger),
            "score_name": queue.score_name,
            "actions": {"image": queue.kind.actions, "class": CLASS_ACTIONS},
            "reasons": sorted({str(r) for r in items["reason"].unique()} - {""}),
            "classes": sorted({str(g) for g in items["given"].unique()}),
        }

    def _answer(self, queue: Queue, key: Key) -> dict[str, str] | None:
        event = queue.find_answer(self.ledger, key)
        return None if event is None else {"verdict": event.verdict, "label": event.label}

    def _item(self, queue: Queue, position: int, catalogue: Catalogue, why: str) -> dict[str, Any]:
        row = queue.items.iloc[position]
        kind, key = queue.keys[position]
        item = {"position": position, "kind": kind, "key": key, "given": str(row["given"])}
        item["mine"] = self._answer(queue, (kind, key))
        item["others"] = [] if queue.kind.is_audit else _others(self.ledger.said_by_others((kind, key)))
        if queue.kind.is_audit:
            return item | {"suggested": "", "reason": "", "file": "", "choices": [], "facts": [], "pictures": []}
        rows, at, score = catalogue.rows, int(row["row"]), float(row["score"])
        facts = queue.facts(position)
        if why:  # what is drawn at random is judged without what the model says
            facts = [*(facts[:1] if why != "random" else []), _WHY[why], *facts[1:]]
        if at >= 0:
            facts = [*facts, f"{rows['width'].iloc[at]} × {rows['height'].iloc[at]} px"]
        return item | {
            "suggested": str(row["suggested"]),
            "reason": why or str(row["reason"]),
            "score": None if math.isnan(score) else round(score, 4),
            "file": str(rows["file_name"].iloc[at]) if at >= 0 else "",
            "choices": queue.choices(position),
            "facts": facts,
            "pictures": queue.pictures(position),
        }

    def decide(self, name: str, request_id: str, decisions: list[dict[str, Any]]) -> dict[str, Any]:
        """Save decisions, all or none, each request only once; they are on disk when this returns.

        Raises UnknownItemError for a key that is not in the manifest, BadInputError for anything else that is wrong.
        """
        queue = self.queue(name)
        if not _REQUEST_ID.fullmatch(request_id):
            raise BadInputError(f"request id {request_id!r}", expected="8 to 64 letters, digits or dashes")
        if not 1 <= len(decisions) <= _MAX_PER_REQUEST:
            raise BadInputError(f"{len(decisions)} decisions at once", expected=f"1 to {_MAX_PER_REQUEST}")
        events = [e for d in decisions for e in self._events(queue, d)]
        return self._saved(name, self.store.add_request(request_id, events, self.annotator))

    def undo(self, name: str, request_id: str, target: str) -> dict[str, Any]:
        """Undo what request `target` decided, or else my last one. Raises BadInputError if there is nothing to undo."""
        find_kind(name)
        if not _REQUEST_ID.fullmatch(request_id) or (target and not _REQUEST_ID.fullmatch(target)):
            raise BadInputError("a request id", expected="8 to 64 letters, digits or dashes")
        return self._saved(name, self.store.undo_request(request_id, self.annotator, target))

    def _saved(self, name: str, events: list[Event]) -> dict[str, Any]:
        self.ledger.refresh()
        queue = self.queue(name)
        keys = list(dict.fromkeys((e.kind, e.key) for e in events))
        return {
            "saved": [{"kind": k, "key": v, "mine": self._answer(queue, (k, v))} for k, v in keys],
            "seqs": [e.seq for e in events],
            "num": len(queue.items),
            "done": len(queue.find_done(self.ledger)),
            "hint": queue.hint(self.ledger),
        }

    def _events(self, queue: Queue, decision: dict[str, Any]) -> list[Event]:
        """The events of one decision of the page: one for each content that it covers."""
        kind, key, verdict, label = (decision.get(k, "") for k in ("kind", "key", "verdict", "label"))
        if not all(isinstance(v, str) for v in (kind, key, verdict, label)):
            raise BadInputError("a decision holds something that is not text")
        catalogue = self.catalogue
        is_known = kind in VERDICTS and key in (catalogue.row_of if kind == "image" else catalogue.known_labels)
        if not is_known or (queue.kind.is_audit and (kind, key) not in queue.position_of):
            raise UnknownItemError(f"{kind} {key[:80]!r} is not in the manifest", expected="one that was shown")
        if verdict not in VERDICTS[kind]:
            raise BadInputError(f"verdict {verdict[:40]!r}", expected=", ".join(VERDICTS[kind]))
        if label == GIVEN:
            label = self._given(queue, (kind, key))
        if label and label not in catalogue.known_labels:
            raise BadInputError(f"there is no class {label[:80]!r}", expected="one of the manifest's classes")
        keys = [key]
        if queue.kind.covers_copies and kind == "image":
            keys = catalogue.equal_contents(key)
        recorded = queue.kind.recorded_queue
        events = [Event(kind=kind, key=k, verdict=verdict, label=label, queue=recorded) for k in keys]
        for event in events:
            event.check()
        return events

    def _given(self, queue: Queue, key: Key) -> str:
        if key in queue.position_of:
            return str(queue.items["given"].iloc[queue.position_of[key]])
        return str(self.catalogue.rows["label"].iloc[self.catalogue.row_of[key[1]]])


def _others(events: list[Event]) -> list[dict[str, str]]:
    return [{"annotator": e.annotator, "verdict": e.verdict, "label": e.label} for e in events]
