"""Which items of a queue a page shows: the annotator's filter, and where the page begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cleaner.review.catalogue import Catalogue
from cleaner.review.ledger import Key, Ledger
from cleaner.review.queue import Queue

PAGE_SIZES = (12, 24, 36, 60)
STATUSES = ("todo", "nobody", "mine", "all")


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """A page and the filter that it goes through; the defaults leave every open item."""

    start: int = 0
    """Where in the filtered order the page begins."""
    limit: int = PAGE_SIZES[1]
    status: str = "todo"
    """Items that I have not answered, that nobody has decided on, that I have answered, or all."""
    label: str = ""
    """The given or the suggested label."""
    reason: str = ""
    lowest: float = -math.inf
    highest: float = math.inf
    """Bounds of the score, both included."""
    search: str = ""
    """A part of a label or a file name, in any case."""
    turned: bool = False
    """The surest first."""

    @property
    def is_plain(self) -> bool:
        """Whether it asks for the first open items, whatever they are."""
        return self == PageRequest(limit=self.limit, status=self.status) and self.status in ("todo", "nobody")


def find_matching(queue: Queue, catalogue: Catalogue, request: PageRequest) -> np.ndarray:
    """(n,) bool: items that the filter leaves, whatever their status."""
    items = queue.items
    wanted = np.ones(len(items), dtype=bool)
    if request.label:
        wanted &= ((items["given"] == request.label) | (items["suggested"] == request.label)).to_numpy()
    if request.reason:
        wanted &= (items["reason"] == request.reason).to_numpy()
    if request.lowest > -math.inf or request.highest < math.inf:
        score = items["score"].to_numpy().astype(np.float64)
        wanted &= (score >= request.lowest) & (score <= request.highest)
    if request.search:
        text, row = request.search.lower(), items["row"].to_numpy()
        names = np.full(len(row), "", dtype=object)
        if not queue.kind.is_audit:
            names[row >= 0] = catalogue.rows["file_name"].to_numpy()[row[row >= 0]]
        columns = zip(items["given"], items["suggested"], names, strict=True)
        found = (any(text in value.lower() for value in values) for values in columns)
        wanted &= np.fromiter(found, dtype=bool, count=len(items))
    return wanted


def find_page(
    queue: Queue, wanted: np.ndarray, request: PageRequest, done: set[Key], ledger: Ledger
) -> tuple[list[int], int | None]:
    """Positions of the items on the page, and where the next page begins; None: this is the last one.

    `wanted` (n,) bool is what `find_matching` returned, `done` the items that the annotator has answered.
    """
    order = np.arange(len(wanted))[::-1] if request.turned else np.arange(len(wanted))
    places: list[int] = []
    for place in (np.flatnonzero(wanted[order][request.start :]) + request.start).tolist():
        if not _has_status(request.status, queue.keys[order[place]], done, ledger):
            continue
        if len(places) == request.limit:
            return [int(order[i]) for i in places], place
        places.append(place)
    return [int(order[i]) for i in places], None


def _has_status(status: str, key: Key, done: set[Key], ledger: Ledger) -> bool:
    if status == "nobody":
        return key not in done and key not in ledger.others
    return {"todo": key not in done, "mine": key in done, "all": True}[status]
