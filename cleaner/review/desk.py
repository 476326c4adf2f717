"""What the page asks for and says: queues, pages of items, decisions. No HTTP here."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np

from cleaner.dataset.audits import AUDIT_QUEUE, find_open_sample
from cleaner.dataset.decisions import VERDICTS, DecisionStore, Event
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, CleanerError
from cleaner.review.catalogue import Catalogue, load_catalogue, signature
from cleaner.review.ledger import Key, Ledger
from cleaner.review.queues import (
    GIVEN,
    QUEUES,
    Queue,
    find_actions,
    find_audit,
    find_disputes,
    find_page,
    find_queue,
    queue_of_decision,
)

logger = logging.getLogger(__name__)

PAGE_SIZES = (12, 24, 36, 60)
STATUSES = ("todo", "nobody", "mine", "all")
_MAX_PER_REQUEST = 100
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_NOISE_QUEUES = ("noise-seeds", "noise-doubtful", "noise-found")
_ENOUGH_SEEDS = 50  # of each kind: from there on the noise stage calls its probabilities calibrated


class UnknownItemError(BadInputError):
    """A decision or a question about something that is not in the manifest."""


class Desk:
    """One annotator's view of a workspace. Threads may share it."""

    def __init__(self, workspace: Workspace, annotator: str, share: float = 1.0) -> None:
        self.workspace = workspace
        self.annotator = annotator
        self.share = share
        self.store = DecisionStore(workspace.decisions_path)
        self.ledger = Ledger(self.store, annotator)
        self._signature = signature(workspace)
        self.catalogue = load_catalogue(workspace)
        self._queues: dict[str, tuple[object, Queue | str]] = {}
        self._lock = threading.RLock()
        self.state()  # finds all queues now, so that the first page need not wait for it

    def reload(self) -> None:
        """Read the manifest again if a stage has run since; a workspace in the middle of a run changes nothing."""
        with self._lock:
            now = signature(self.workspace)
            if now == self._signature:
                return
            try:
                self.catalogue = load_catalogue(self.workspace)
                self._signature = now
                self._queues.clear()
            except CleanerError as error:
                logger.info("the manifest was not read again: %s", error)

    def queue(self, name: str) -> Queue | str:
        """A queue, or why there is none. Raises BadInputError for a name that is none."""
        if name not in QUEUES:
            raise BadInputError(f"queue {name!r}", expected=", ".join(QUEUES))
        with self._lock:
            version: object = self.ledger.version if name == "disagreements" else None
            if name == AUDIT_QUEUE:
                version = tuple(
                    sorted((p.name, p.stat().st_mtime) for p in (self.workspace.root / "audit").glob("*/sample.json"))
                )
            if name not in self._queues or self._queues[name][0] != version:
                self._queues[name] = (version, self._find(name))
            return self._queues[name][1]

    def _find(self, name: str) -> Queue | str:
        if name == "disagreements":
            return find_disputes(self.ledger.disputed, self.catalogue)
        if name != AUDIT_QUEUE:
            return find_queue(name, self.catalogue, self.share)
        try:
            sample = find_open_sample(self.workspace)
        except CleanerError as error:
            return error.what
        if sample is None:
            return "run `cleaner audit` to draw a sample"
        return find_audit(sample.rows, self.catalogue, sample.record.after_seq)

    def state(self) -> dict[str, Any]:
        """All that the page needs to know once, and how far each queue is."""
        self.reload()
        self.ledger.refresh()
        queues = []
        for name, (title, question) in QUEUES.items():
            queue = self.queue(name)
            absent = queue if isinstance(queue, str) else ""
            num = 0 if isinstance(queue, str) else len(queue.items)
            done = 0 if isinstance(queue, str) else len(self._done(queue))
            queues.append(
                {"name": name, "title": title, "question": question, "absent": absent, "num": num, "done": done}
            )
        agreements = [
            {"with": [a.first, a.second], "both": a.num_both, "equal": a.num_equal,
             "kappa": None if math.isnan(a.kappa) else round(a.kappa, 3)}
            for a in self.ledger.agreements()
        ]  # fmt: skip
        root = str(self.workspace.root.resolve())
        return {
            "annotator": self.annotator,
            "workspace": Path(root).name,
            "workspace_id": hashlib.sha256(f"{root}\0{self.annotator}".encode("utf-8", "replace")).hexdigest()[:16],
            "stage": self.catalogue.stage,
            "warning": self.catalogue.warning,
            "queues": queues,
            "agreements": agreements,
            "labels": self.catalogue.labels,
            "page_sizes": PAGE_SIZES,
        }  # fmt: skip

    def page(
        self, name: str, *, start: int = 0, limit: int = 24, status: str = "todo", label: str = "", reason: str = "",
        lowest: float = -math.inf, highest: float = math.inf, search: str = "", turned: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """A page of a queue from position `start` on, and what the filter leaves. `turned`: the surest first.

        Raises BadInputError for a queue that there is not.
        """
        self.ledger.refresh()
        with self._lock:
            queue, catalogue = self.queue(name), self.catalogue
        if isinstance(queue, str):
            raise BadInputError(f"the queue {name} is not there", next_step=queue)
        wanted = _matching(queue, catalogue, label, reason, lowest, highest, search)
        done = self._done(queue)
        skip = self._skipper(queue, status, done)
        order = np.arange(len(wanted))[::-1] if turned else np.arange(len(wanted))
        view = Queue(name, queue.items.iloc[order]) if turned else queue
        found = list(find_page(view, wanted[order], start, limit + 1, skip))
        positions = [int(order[i]) for i in found[:limit]]
        done_here = np.array([queue.position_of[k] for k in done], dtype=np.int64)
        items = queue.items
        blind = name == AUDIT_QUEUE
        return {
            "name": name,
            "items": [self._item(queue, p, catalogue, blind) for p in positions],
            "start": start,
            "next": found[limit] if len(found) > limit else None,
            "num": len(items),
            "done": len(done),
            "matching": int(wanted.sum()),
            "matching_done": int(wanted[done_here].sum()),
            "hint": self._hint(name),
            "score_name": queue.score_name,
            "actions": {k: [list(a) for a in v] for k, v in find_actions(name).items()},
            "reasons": sorted({str(r) for r in items["reason"].unique()} - {""}),
            "classes": sorted({str(g) for g in items["given"].unique()}),
        }

    def _skipper(self, queue: Queue, status: str, done: set[Key]) -> Any:
        if status == "all":
            return lambda key: False
        if status == "mine":
            return lambda key: key not in done
        if status == "nobody":
            return lambda key: key in done or key in self.ledger.others
        return lambda key: key in done

    def _done(self, queue: Queue) -> set[Key]:
        """Items of a queue of which I have said what it asks for."""
        if queue.name == AUDIT_QUEUE:
            mine = {("image", k): e for k, e in self.ledger.mine_in_audit.items() if (e.seq or 0) > queue.after_seq}
        else:
            mine = dict(self.ledger.mine)
        here = queue.position_of
        return {key for key, event in mine.items() if key in here and self._answers(queue.name, event)}

    def _answers(self, name: str, event: Event) -> bool:
        if name == "disagreements":
            return event.queue == queue_of_decision(name)
        # "not noise" says nothing about the label, and "unsure" only something about the question it answered
        if name in ("labels", "calibration", "conflicts"):
            return event.verdict != "normal" and not (event.verdict == "unsure" and event.queue in _NOISE_QUEUES)
        return True

    def _mine(self, name: str, key: Key) -> dict[str, str] | None:
        event = self.ledger.mine.get(key)
        if name == AUDIT_QUEUE:
            queue = self.queue(name)
            event = self.ledger.mine_in_audit.get(key[1])
            if event and not isinstance(queue, str) and (event.seq or 0) <= queue.after_seq:
                event = None
        if event is None or not self._answers(name, event):
            return None
        return {"verdict": event.verdict, "label": event.label}

    def _item(self, queue: Queue, position: int, catalogue: Catalogue, blind: bool) -> dict[str, Any]:
        row = queue.items.iloc[position]
        kind, key, at = str(row["kind"]), str(row["key"]), int(row["row"])
        item = {
            "position": position, "kind": kind, "key": key, "given": str(row["given"]),
            "mine": self._mine(queue.name, (kind, key)),
        }  # fmt: skip
        if blind:
            return item | {"suggested": "", "reason": "", "file": "", "choices": [], "facts": [], "pictures": []}
        rows = catalogue.rows
        score = float(row["score"])
        facts = queue.facts(position)
        if at >= 0:
            facts = [*facts, f"{rows['width'].iloc[at]} × {rows['height'].iloc[at]} px"]
        return item | {
            "suggested": str(row["suggested"]),
            "reason": str(row["reason"]),
            "score": None if math.isnan(score) else round(score, 4),
            "file": str(rows["file_name"].iloc[at]) if at >= 0 else "",
            "choices": [list(c) for c in queue.choices(position)],
            "facts": facts,
            "pictures": queue.pictures(position),
        }

    def decide(self, name: str, request_id: str, decisions: list[dict[str, Any]]) -> dict[str, Any]:
        """Save decisions, all or none, once; what is returned is on the disk.

        Raises UnknownItemError for a key that is not there, BadInputError for anything else that does not fit.
        """
        queue = self.queue(name)
        if not _REQUEST_ID.fullmatch(request_id):
            raise BadInputError(f"request id {request_id!r}", expected="8 to 64 letters, digits or dashes")
        if not 1 <= len(decisions) <= _MAX_PER_REQUEST:
            raise BadInputError(f"{len(decisions)} decisions at once", expected=f"1 to {_MAX_PER_REQUEST}")
        events = [e for d in decisions for e in self._events(name, queue, d)]
        saved = self.store.add_request(request_id, events, self.annotator)
        return self._saved(name, saved)

    def undo(self, name: str, request_id: str, target: str) -> dict[str, Any]:
        """Take back what request `target`, or else my last one, said. Raises BadInputError if there is nothing."""
        self.queue(name)
        if not _REQUEST_ID.fullmatch(request_id) or (target and not _REQUEST_ID.fullmatch(target)):
            raise BadInputError("a request id", expected="8 to 64 letters, digits or dashes")
        return self._saved(name, self.store.undo_request(request_id, self.annotator, target))

    def _saved(self, name: str, events: list[Event]) -> dict[str, Any]:
        self.ledger.refresh()
        queue = self.queue(name)
        keys = list(dict.fromkeys((e.kind, e.key) for e in events))
        return {
            "saved": [{"kind": k, "key": v, "mine": self._mine(name, (k, v))} for k, v in keys],
            "seqs": [e.seq for e in events],
            "num": 0 if isinstance(queue, str) else len(queue.items),
            "done": 0 if isinstance(queue, str) else len(self._done(queue)),
            "hint": self._hint(name),
        }

    def _hint(self, name: str) -> str:
        """How far seeds are from enough, or ''."""
        if name != "noise-seeds":
            return ""
        said = [event.verdict for event in self.ledger.mine.values()]
        num_noise, num_normal = said.count("noise"), said.count("normal")
        enough = "enough" if min(num_noise, num_normal) >= _ENOUGH_SEEDS else f"{_ENOUGH_SEEDS} of each are enough"
        return f"{num_noise:,} noise · {num_normal:,} normal · {enough}"

    def _events(self, name: str, queue: Queue | str, decision: dict[str, Any]) -> list[Event]:
        """One decision of the page as events: a duplicate conflict is one event for each of its contents."""
        kind, key, verdict, label = (decision.get(k, "") for k in ("kind", "key", "verdict", "label"))
        if not all(isinstance(v, str) for v in (kind, key, verdict, label)):
            raise BadInputError("a decision holds something that is not text")
        catalogue = self.catalogue
        known = kind in VERDICTS and key in (catalogue.row_of if kind == "image" else catalogue.known_labels)
        if name == AUDIT_QUEUE and known:
            known = not isinstance(queue, str) and (kind, key) in queue.position_of
        if not known:
            raise UnknownItemError(f"{kind} {key[:80]!r} is not in the manifest", expected="one that was shown")
        if verdict not in VERDICTS[kind]:
            raise BadInputError(f"verdict {verdict[:40]!r}", expected=", ".join(VERDICTS[kind]))
        if label == GIVEN:
            label = self._given(queue, (kind, key))
        if label and label not in catalogue.known_labels:
            raise BadInputError(f"there is no class {label[:80]!r}", expected="one of the manifest's classes")
        keys = [key]
        if name == "conflicts" and kind == "image":
            same = catalogue.copies == catalogue.copies[catalogue.row_of[key]]
            ids = catalogue.rows["image_id"].to_numpy()[same & (catalogue.copies >= 0)]
            keys = list(dict.fromkeys([key, *(str(i) for i in ids)]))
        events = [Event(kind=kind, key=k, verdict=verdict, label=label, queue=queue_of_decision(name)) for k in keys]
        for event in events:
            event.check()
        return events

    def _given(self, queue: Queue | str, key: Key) -> str:
        if not isinstance(queue, str) and key in queue.position_of:
            return str(queue.items["given"].iloc[queue.position_of[key]])
        return str(self.catalogue.rows["label"].iloc[self.catalogue.row_of[key[1]]])


def _matching(
    queue: Queue, catalogue: Catalogue, label: str, reason: str, lowest: float, highest: float, search: str
) -> np.ndarray:
    """(n,) bool: items that the filter leaves."""
    items = queue.items
    wanted = np.ones(len(items), dtype=bool)
    if label:
        wanted &= ((items["given"] == label) | (items["suggested"] == label)).to_numpy()
    if reason:
        wanted &= (items["reason"] == reason).to_numpy()
    if lowest > -math.inf or highest < math.inf:
        score = items["score"].to_numpy().astype(np.float64)
        wanted &= (score >= lowest) & (score <= highest)
    if search:
        text, row = search.lower(), items["row"].to_numpy()
        names = catalogue.rows["file_name"].to_numpy()[row] if len(catalogue.rows) else row
        if queue.name == AUDIT_QUEUE:
            names = np.full(len(row), "")
        columns = zip(items["given"], items["suggested"], np.where(row >= 0, names, ""), strict=True)
        found = (
            text in given.lower() or text in other.lower() or text in name.lower() for given, other, name in columns
        )
        wanted &= np.fromiter(found, dtype=bool, count=len(items))
    return wanted
