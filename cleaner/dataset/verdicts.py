"""The verdicts that each stage uses, and a digest of them that shows when they change."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event, agreed, differ
from cleaner.dataset.stage_inputs import STAGE_INPUTS
from cleaner.dataset.store import digest_of
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError


@dataclass(frozen=True)
class Verdicts:
    """All verdicts in force at one moment."""

    images: dict[str, Event]
    """By image_id."""
    classes: dict[str, Event]
    """By name of the class."""
    disputed: list[str]
    """Images and classes on which annotators differ."""


def read_verdicts(workspace: Workspace) -> Verdicts:
    """All verdicts in force."""
    standing = DecisionStore(workspace.decisions_path).standing()
    by_kind: dict[str, dict[str, Event]] = {"image": {}, "class": {}}
    for (kind, key), event in agreed(standing).items():
        by_kind[kind][key] = event
    return Verdicts(by_kind["image"], by_kind["class"], [key for (_, key), e in standing.items() if differ(e)])


def used_images(
    verdicts: Verdicts, stage: str, image_ids: Iterable[str], noise_ids: Collection[str] = ()
) -> dict[str, Event]:
    """The verdicts on the images `image_ids` that `stage` uses.

    `noise_ids` matter to the noise stage, which uses `label` verdicts only on these images: those that count as noise,
    or would without a person's verdict. It does not matter which label, so that is left out.
    """
    declared = STAGE_INPUTS[stage]
    found = {key: verdicts.images[key] for key in image_ids if key in verdicts.images}
    used = {key: e for key, e in found.items() if e.verdict in declared.image_verdicts}
    if declared.labels_of_noise:
        used |= {key: replace(e, label="") for key, e in found.items() if e.verdict == "label" and key in noise_ids}
    return used


def used_classes(verdicts: Verdicts, stage: str) -> dict[str, Event]:
    """The verdicts on classes that `stage` uses."""
    return {key: e for key, e in verdicts.classes.items() if e.verdict in STAGE_INPUTS[stage].class_verdicts}


def used_digest(workspace: Workspace, stage: str, verdicts: Verdicts) -> str:
    """Digest of the verdicts that `stage` uses, given the manifest that it wrote; reads only rows with a verdict."""
    image_ids: list[str] = []
    noise_ids: set[str] = set()
    if verdicts.images:
        image_ids, noise_ids = _rows_decided_on(workspace, stage, list(verdicts.images))
    digest = verdicts_digest(used_images(verdicts, stage, image_ids, noise_ids))
    if not STAGE_INPUTS[stage].class_verdicts:
        return digest
    return digest_of(digest, verdicts_digest(used_classes(verdicts, stage)))


def verdicts_digest(verdicts: dict[str, Event]) -> str:
    """Hex digest of verdicts by key, independent of their order and annotators."""
    return digest_of(sorted([key, e.verdict, e.label] for key, e in verdicts.items()))


def _rows_decided_on(workspace: Workspace, stage: str, ids: list[str]) -> tuple[list[str], set[str]]:
    """Those of the images `ids` in the manifest of `stage`, and which of them are `noise_ids` of `used_images`."""
    from cleaner.dataset.manifest_rows import read_images  # loads Arrow, needed only if there are verdicts

    columns = ["is_noise", "noise_evidence"] if STAGE_INPUTS[stage].labels_of_noise else []
    rows = read_images(workspace.manifest_path(stage), columns, ids)
    noise = {row["image_id"] for row in rows if row.get("is_noise") or row.get("noise_evidence") == "person"}
    return [row["image_id"] for row in rows], noise


def resolve_merges(class_verdicts: dict[str, Event]) -> dict[str, str]:
    """The class that each merged class finally becomes: c for a, if a was merged into b and b into c.

    Raises BadInputError for a circle of merges.
    """
    into = {name: e.label for name, e in class_verdicts.items() if e.verdict == "merge"}
    ends = {}
    for name in into:
        seen, at = [name], into[name]
        while at in into:
            if at in seen:
                raise BadInputError(
                    f"classes are merged in a circle: {' into '.join([*seen, at])}",
                    next_step=f"take one back: cleaner decide --class {name!r} --undo",
                )
            seen.append(at)
            at = into[at]
        ends[name] = at
    return ends
