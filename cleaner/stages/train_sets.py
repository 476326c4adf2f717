"""The training and test images of `train`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import TrainSettings
from cleaner.dataset.class_folders import TRAIN
from cleaner.dataset.lineage import Parent
from cleaner.dataset.locations import locate
from cleaner.dataset.names import image_path
from cleaner.errors import BadInputError
from cleaner.stages.held_out import inspect_held_out
from cleaner.stages.stage_run import StageRun


@dataclass(frozen=True)
class ImageSet:
    """n labelled images."""

    image_ids: list[str]
    paths: list[Path]
    targets: np.ndarray
    """(n,) int64 class numbers."""
    repeats: np.ndarray
    """(n,) int64: how often each appears in an epoch."""
    source: str = ""
    """Where the held-out images come from, for people."""
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)


def training_images(manifest: pd.DataFrame, parent: Parent) -> tuple[list[str], ImageSet]:
    """The sorted classes, and the kept images of split train with their clean labels, repeated as balance says.

    `manifest` is that of `parent`. Raises BadInputError if it has fewer than two classes left.
    """
    kept = manifest[manifest["keep"] & (manifest["split"] == TRAIN)]
    repeats = kept["repeats"].to_numpy(np.int64) if "repeats" in kept else np.ones(len(kept), np.int64)
    kept, repeats = kept[repeats > 0], repeats[repeats > 0]
    classes = sorted(set(kept["clean_label"]))
    if len(classes) < 2:
        raise BadInputError(
            f"{parent.path}: too little to train on",
            expected="kept images of split train in two classes at least",
            found=f"{len(kept)} images in {len(classes)} classes",
            next_step="look at drop_reason in it",
        )
    targets = pd.Categorical(kept["clean_label"], categories=classes).codes.astype(np.int64)
    paths = [image_path(parent.images_root, name) for name in kept["file_name"]]
    return classes, ImageSet(kept["image_id"].tolist(), paths, targets, repeats)


def validation_images(run: StageRun[TrainSettings], manifest: pd.DataFrame, classes: list[str]) -> ImageSet:
    """Held-out images: those below the setting `val`, else the kept ones of the manifest's other splits.

    Images of unknown classes, unreadable images and training images are left out, with a warning.
    """
    val = run.settings.val
    if val:
        found = inspect_held_out(run.workspace, val, run.options)
        found["path"] = found["path"].map(locate)
    else:
        found = manifest.loc[manifest["keep"] & (manifest["split"] != TRAIN)].assign(sound=True)
        paths = found["file_name"].map(lambda name: image_path(run.parent.images_root, name))
        found = found.assign(path=paths, label=found["clean_label"])
    learned = set(manifest.loc[manifest["keep"] & (manifest["split"] == TRAIN), "image_id"])
    reasons = {
        "cannot be read or lie in no class folder": ~found["sound"].to_numpy(bool),
        "are of classes without training images": ~found["label"].isin(classes).to_numpy(),
        "are among the training images": found["image_id"].isin(learned).to_numpy(),
    }
    good, warnings = np.ones(len(found), bool), []
    for why, hit in reasons.items():
        hit = hit & good
        if hit.any():
            warnings.append(f"{int(hit.sum()):,} held-out images {why}: left out")
        good &= ~hit
    splits = ", ".join(sorted(set(found["split"]))) if not val else ""
    source = val or (f"split {splits}" if splits else "")
    kept = found[good]
    if not len(kept):
        warnings.append("no held-out images to measure on: give --val DIR with class folders")
    targets = pd.Categorical(kept["label"], categories=classes).codes.astype(np.int64)
    repeats = np.ones(len(kept), np.int64)
    return ImageSet(kept["image_id"].tolist(), kept["path"].tolist(), targets, repeats, source, warnings)
