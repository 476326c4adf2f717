"""Which of people's verdicts each stage uses, and whether they are still those it ran with."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow.compute as pc

from cleaner.dataset.decisions import DecisionStore, verdicts_digest
from cleaner.dataset.manifest import read_matching
from cleaner.dataset.store import digest_of
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError

_LOOKED_AT = 0.5
"""Noise probability above which a person's `label` verdict matters to the noise stage: it keeps the image in."""


@dataclass(frozen=True)
class Verdicts:
    """Those in force, read once."""

    images: pd.DataFrame
    """Index image_id; columns verdict, label, annotator."""
    classes: pd.DataFrame
    """Index the class; columns verdict, label, annotator."""


def read_verdicts(workspace: Workspace) -> Verdicts:
    """All verdicts in force."""
    store = DecisionStore(workspace.decisions_path)
    return Verdicts(store.image_verdicts(), store.class_verdicts())


def pick_used(verdicts: pd.DataFrame, stage: str, manifest: pd.DataFrame) -> pd.DataFrame:
    """Of `verdicts` on images, those on rows of `manifest` that `stage` uses; index image_id, columns verdict, label.

    The noise stage uses a `label` verdict only for an image that looks like noise, as `manifest` says, so that
    deciding on labels does not make it stale.
    """
    there = manifest.loc[manifest["image_id"].isin(verdicts.index), "image_id"]
    verdicts = verdicts.loc[verdicts.index.isin(there), ["verdict", "label"]]
    if stage == "noise":
        suspect: set[str] = set()
        if "noise_prob" in manifest:
            suspect = set(manifest.loc[(manifest["noise_prob"] > _LOOKED_AT) | manifest["is_noise"], "image_id"])
        verdicts = verdicts[(verdicts["verdict"] != "label") | verdicts.index.isin(suspect)]
        return verdicts.assign(label="")
    return verdicts[verdicts["verdict"].isin(["label", "noise", "drop"])]


def resolve_merges(class_verdicts: pd.DataFrame) -> dict[str, str]:
    """For each class that people merged into another, where it ends: a into b, b into c.

    Raises BadInputError where merges run in a circle.
    """
    merges = class_verdicts.loc[class_verdicts["verdict"] == "merge", "label"]
    into = {str(name): str(end) for name, end in merges.items()}
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


def used_digest(verdicts: Verdicts, stage: str, manifest: pd.DataFrame) -> str:
    """Digest of the verdicts that `stage` uses, as its record holds it under the role `decisions`."""
    digest = verdicts_digest(pick_used(verdicts.images, stage, manifest))
    classes = verdicts.classes
    if stage == "noise":
        return digest
    return digest_of(digest, verdicts_digest(classes if stage == "balance" else classes[classes["verdict"] == "merge"]))


def require_decided(workspace: Workspace, stage: str) -> None:
    """Raise StaleStageError if `stage`, or one that it came from, has not taken up what people decided since.

    It names the first of them: what comes after has to run again anyway.
    """
    verdicts = read_verdicts(workspace)
    name, stale = stage, ""
    while name in ("noise", "labels", "balance"):
        if is_decided_since(workspace, name, verdicts):
            stale = name
        record = workspace.record(name)
        parent = next((i.file for i in record.inputs if i.role == "parent"), "") if record else ""
        name = parent.split("/")[0]
    if stale:
        raise StaleStageError(
            f"{workspace.manifest_path(stale)} is stale: people decided more since",
            next_step=f"run `cleaner {stale}`" + ("" if stale == stage else ", and the stages after it"),
        )


def is_decided_since(workspace: Workspace, stage: str, verdicts: Verdicts) -> bool:
    """Whether people decided something that the complete `stage` would use and has not; reads only rows decided on."""
    record = workspace.record(stage)
    if record is None or stage == "scan":
        return False
    columns = ["image_id", *(["noise_prob", "is_noise"] if stage == "noise" else [])]
    ids = verdicts.images.index.tolist()
    rows = pd.DataFrame({name: [] for name in columns})
    if ids:
        rows = read_matching(workspace.manifest_path(stage), columns, pc.field("image_id").isin(ids))
    return used_digest(verdicts, stage, rows) != record.input_sha256("decisions")
