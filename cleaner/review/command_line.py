"""Decisions on images and classes made at the command line."""

from __future__ import annotations

import difflib
from pathlib import Path

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import VERDICTS, Event, find_undone
from cleaner.dataset.locations import locate
from cleaner.dataset.lookup import find_images
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError, UsageError
from cleaner.review.queues import find_kind

QUEUE = "command line"
Key = tuple[str, str]
"""Kind (image or class) and key of a decision."""


def image_keys(workspace: Workspace, asked: list[str]) -> list[Key]:
    """The images that `asked` names, each once.

    Raises StaleStageError before the first scan, BadInputError for an unknown image or a file without content.
    """
    path, root = _scan(workspace)
    found = find_images(path, root, asked)
    empty = [f.file_name for f in found if not f.image_id]
    if empty:
        raise BadInputError(f"{empty[0]}: a file without content cannot be decided on")
    return list(dict.fromkeys(("image", f.image_id) for f in found))


def class_keys(workspace: Workspace, name: str) -> list[Key]:
    """The class `name`. Raises BadInputError if no image has it."""
    known = known_classes(workspace)
    if name not in known:
        raise BadInputError(f"no class {name!r}", expected=", ".join(difflib.get_close_matches(name, known, n=3)))
    return [("class", name)]


def known_classes(workspace: Workspace) -> set[str]:
    """All labels of the last complete manifest, given and clean."""
    frame = workspace.manifest(columns=["label", "clean_label"])
    return set(frame["label"]) | set(frame["clean_label"])


def warn_of_new_label(workspace: Workspace, label: str) -> list[str]:
    """A warning if `label` is not a class yet: it may be new, or a typing error."""
    known = known_classes(workspace) if label else set()
    if not label or label in known:
        return []
    close = difflib.get_close_matches(label, known, n=1)
    guess = f" for {close[0]!r}" if close else ""
    return [f"{label!r} is a new class, or a typing error{guess} (--undo takes it back)"]


def decide_all(
    workspace: Workspace, keys: list[Key], verdict: str, *, label: str, annotator: str, queue: str = "", dry_run: bool
) -> list[int]:
    """Record `verdict` on each of `keys`, or `undo` the annotator's last decision on it; returns the new `seq`s.

    `queue` names the queue of the review page that asked, if one did. Raises UsageError if the verdict does not fit the
    kind, BadInputError if there is nothing to undo; nothing is recorded then. With `dry_run` nothing is recorded and
    each `seq` is 0.
    """
    store = DecisionStore(workspace.decisions_path)
    if verdict == "undo":
        last = [_last_decision(store, key, annotator) for key in keys]
        return [0 if dry_run else store.undo(seq, annotator) for seq in last]
    for kind, key in keys:
        if verdict not in VERDICTS[kind]:
            raise UsageError(f"--{verdict} on {kind} {key[:12]}", expected=", ".join(VERDICTS[kind]))
        Event(kind=kind, key=key, verdict=verdict, label=label).check()
    if dry_run:
        return [0] * len(keys)
    asked_by = find_kind(queue).recorded_queue if queue else QUEUE
    return [store.add(k, key, verdict, label=label, queue=asked_by, annotator=annotator) for k, key in keys]


def _last_decision(store: DecisionStore, key: Key, annotator: str) -> int:
    events = store.events_after(0)
    undone = find_undone(events)
    own = [e.seq for e in events if (e.kind, e.key) == key and e.annotator == annotator and e.verdict]
    own = [seq for seq in own if seq not in undone]
    if not own:
        who = f" by annotator {annotator!r}" if annotator else " without an annotator's name"
        raise BadInputError(
            f"{key[0]} {key[1][:12]}: no decision{who} to undo", next_step="name the annotator with --annotator"
        )
    assert own[-1] is not None
    return own[-1]


def _scan(workspace: Workspace) -> tuple[Path, Path]:
    record = workspace.record("scan")
    if record is None:
        raise StaleStageError(f"{workspace.root}: no scan", next_step="run `cleaner scan IMAGES` first")
    return workspace.manifest_path("scan"), locate(record.images_root)
