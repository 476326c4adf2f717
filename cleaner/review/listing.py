"""What is left of a queue, in the order of the review page, without a page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.review.catalogue import Catalogue, load_catalogue
from cleaner.review.ledger import Ledger
from cleaner.review.queue import Queue, Sources
from cleaner.review.queues import find_kind


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


def list_open(workspace: Workspace, name: str, limit: int | None = None) -> list[OpenItem]:
    """The items of queue `name` that are left, first the one that the page shows first; at most `limit`.

    Whoever decided, and since whatever run: a decision takes its item out. Raises StaleStageError without a scan,
    BadInputError for a queue that does not exist or is not there yet.
    """
    kind = find_kind(name)
    catalogue, ledger = load_catalogue(workspace), Ledger(DecisionStore(workspace.decisions_path), annotator="")
    ledger.refresh()
    queue = kind.find(kind, Sources(workspace, catalogue, ledger))
    if queue.absent:
        raise BadInputError(f"the queue {name} is not there yet", next_step=queue.absent)
    answered = queue.find_answered(ledger)
    left = [position for position, key in enumerate(queue.keys) if key not in answered]
    return [_describe(queue, catalogue, position) for position in left[:limit]]


def _describe(queue: Queue, catalogue: Catalogue, position: int) -> OpenItem:
    item, (kind, key) = queue.items.iloc[position], queue.keys[position]
    row, score = int(item["row"]), float(item["score"])
    return OpenItem(
        file_name=str(catalogue.rows["file_name"].iloc[row]) if kind == "image" else "",
        class_name=key if kind == "class" else "",
        probability=round(score, 4) if "probability" in queue.score_name and not math.isnan(score) else None,
        reason=str(item["reason"]),
    )
