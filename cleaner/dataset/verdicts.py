"""Which of people's verdicts each stage uses, and their digest, by which a stage knows that they changed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow.compute as pc

from cleaner.dataset.decisions import DecisionStore, verdicts_digest
from cleaner.dataset.manifest import read_matching
from cleaner.dataset.stage_inputs import STAGE_INPUTS
from cleaner.dataset.store import digest_of
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError


@dataclass(frozen=True)
class Verdicts:
    """The verdicts in force at one moment."""

    images: pd.DataFrame
    """Index image_id; columns verdict, label, annotator."""
    classes: pd.DataFrame
    """Index the class; columns verdict, label, annotator."""


def read_verdicts(workspace: Workspace) -> Verdicts:
    """All verdicts in force."""
    store = DecisionStore(workspace.decisions_path)
    return Verdicts(store.image_verdicts(), store.class_verdicts())


def used_images(verdicts: Verdicts, stage: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The verdicts on images of `rows` that `stage` uses: index image_id, columns verdict and label.

    `rows` has the column image_id. For the noise stage it may have `is_noise` and `noise_evidence`: a `label` verdict
    is used where an image is noise, or where a person's word is what keeps it from being noise.
    """
    declared = STAGE_INPUTS[stage]
    known = verdicts.images.loc[verdicts.images.index.isin(rows["image_id"]), ["verdict", "label"]]
    used = known["verdict"].isin(declared.image_verdicts)
    if not declared.labels_of_noise:
        return known[used]
    if "is_noise" in rows:
        concerned = rows.loc[rows["is_noise"].to_numpy(bool) | (rows["noise_evidence"] == "person"), "image_id"]
        used |= (known["verdict"] == "label") & known.index.isin(concerned)
    return known[used].assign(label="")  # which label it is makes no difference to noise


def used_classes(verdicts: Verdicts, stage: str) -> pd.DataFrame:
    """The verdicts on classes that `stage` uses: index the class; columns verdict, label, annotator."""
    return verdicts.classes[verdicts.classes["verdict"].isin(STAGE_INPUTS[stage].class_verdicts)]


def used_digest(verdicts: Verdicts, stage: str, manifest: pd.DataFrame) -> str:
    """Digest of the verdicts that `stage` uses, given the manifest that it wrote."""
    digest = verdicts_digest(used_images(verdicts, stage, manifest))
    if not STAGE_INPUTS[stage].class_verdicts:
        return digest
    return digest_of(digest, verdicts_digest(used_classes(verdicts, stage)))


def stored_digest(workspace: Workspace, stage: str, verdicts: Verdicts) -> str:
    """`used_digest` for the manifest of `stage` on the disk, of which it reads only rows that people decided on."""
    columns = ["image_id", *(["is_noise", "noise_evidence"] if STAGE_INPUTS[stage].labels_of_noise else [])]
    ids = verdicts.images.index.tolist()
    rows = pd.DataFrame({name: [] for name in columns})
    if ids:
        rows = read_matching(workspace.manifest_path(stage), columns, pc.field("image_id").isin(ids))
    return used_digest(verdicts, stage, rows)


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
