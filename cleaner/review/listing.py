"""What is left of a queue, in the order of the review page, without a page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.review.catalogue import Catalogue, load_catalogue
from cleaner.review.ledger import Ledger
from cleaner.review.queue import Queue, Sources
from cleaner.review.queues import find_kind

if TYPE_CHECKING:
    from cleaner.review.noise_refit import NoiseRefit


@dataclass(frozen=True)
class OpenItem:
    """An image or a class on which nobody has answered what the queue asks."""

    file_name: str
    """'' for a class."""
    class_name: str
    """'' for an image."""
    probability: float | None
    """What the queue orders by, 0 .. 1, if that is a probability: of a wrong label, or of a noise image."""
    reason: str
    """Why it is in the queue; '' in a blind one."""

    def document(self) -> dict[str, Any]:
        """It as plain JSON values; `class` only for a class."""
        found: dict[str, Any] = {"file_name": self.file_name}
        if self.class_name:
            found["class"] = self.class_name
        return found | {"probability": self.probability, "reason": self.reason}


@dataclass(frozen=True)
class Listing:
    """What is left of a queue."""

    items: list[OpenItem]
    """The first of them, in the order of the page."""
    num_left: int
    """How many there are in all."""


def list_open(workspace: Workspace, name: str, limit: int | None = None, noise: NoiseRefit | None = None) -> Listing:
    """What is left of queue `name`, first the item that the page shows first; at most `limit` of them.

    Whoever decided, and since whatever run: a decision takes its item out. The queue `noise` needs its model, and
    `limit` is the size of its page. Raises StaleStageError without a scan, BadInputError for a queue that does
    not exist or is not there yet.
    """
    kind = find_kind(name)
    catalogue, ledger = load_catalogue(workspace), Ledger(DecisionStore(workspace.decisions_path), annotator="")
    ledger.refresh()
    sources = Sources(workspace, catalogue, ledger, noise=noise)
    kind.follow(sources)
    queue = kind.find(kind, sources)
    if queue.absent:
        raise BadInputError(f"there is no queue {name} yet", next_step=queue.absent)
    answered = queue.find_answered(ledger)
    left = [position for position, key in enumerate(queue.keys) if key not in answered]
    why = queue.choose(limit or len(left)) if queue.choose else {}
    shown = list(why) if why else left[:limit]
    return Listing([_describe(queue, catalogue, position, why.get(position, "")) for position in shown], len(left))


def _describe(queue: Queue, catalogue: Catalogue, position: int, why: str) -> OpenItem:
    item, (kind, key) = queue.items.iloc[position], queue.keys[position]
    row, score = int(item["row"]), float(item["score"])
    return OpenItem(
        file_name=str(catalogue.rows["file_name"].iloc[row]) if kind == "image" else "",
        class_name=key if kind == "class" else "",
        probability=round(score, 4) if "probability" in queue.score_name and not math.isnan(score) else None,
        reason=why or str(item["reason"]),
    )
