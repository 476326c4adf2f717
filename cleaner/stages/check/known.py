"""The earlier run that new images are held against. It is only read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from cleaner.dataset.events import Event
from cleaner.dataset.locations import locate
from cleaner.dataset.verdicts import Verdicts, read_verdicts, resolve_merges
from cleaner.dataset.workspace import StageRecord, Workspace

_ALWAYS = (
    "file_name",
    "image_id",
    "pixel_id",
    "pixel_std",
    "width",
    "height",
    "file_bytes",
    "label",
    "clean_label",
    "readable",
    "drop_reason",
)
_WHERE_JUDGED = ("noise_prob", "is_noise", "noise_evidence", "fold", "class_action")


@dataclass(frozen=True)
class KnownSet:
    """The images of a run's last stage, and people's verdicts."""

    workspace: Workspace
    stage: str
    images_root: Path
    rows: pd.DataFrame
    """The manifest's rows; of later stages those columns that there are."""
    verdicts: Verdicts
    merged: dict[str, str]
    """Classes that people merged into others, by name."""

    @classmethod
    def open(cls, workspace: Workspace) -> KnownSet:
        """Read the last complete stage. Raises StaleStageError if there is none."""
        from cleaner.dataset.manifest import read_manifest

        stage = workspace.last_stage()
        record = workspace.record(stage)
        assert record is not None, "the last stage is complete"
        rows = read_manifest(workspace.manifest_path(stage), _ALWAYS, _WHERE_JUDGED)
        verdicts = read_verdicts(workspace)
        return cls(workspace, stage, locate(record.images_root), rows, verdicts, resolve_merges(dict(verdicts.classes)))

    def record(self, stage: str) -> StageRecord | None:
        """The record of a complete stage, or None."""
        return self.workspace.record(stage)

    @cached_property
    def classes(self) -> set[str]:
        """The classes under which images are known, or that people gave."""
        given = {e.label for e in self.verdicts.images.values() if e.verdict == "label"}
        return (set(self.rows["clean_label"]) | given) - {""}

    @cached_property
    def dropped_classes(self) -> set[str]:
        """Classes that people or the balance stage dropped."""
        said = {name: e.verdict for name, e in self.verdicts.classes.items()}
        gone = {name for name, verdict in said.items() if verdict == "drop"}
        if "class_action" in self.rows:
            mine = self.rows.loc[self.rows["class_action"] == "drop", "clean_label"]
            gone |= {name for name in mine if said.get(name) != "keep"}
        return gone - {""}

    @cached_property
    def first_of_picture(self) -> dict[str, int]:
        """For each picture (pixel_id) the row of its copy that stayed, or else of the first."""
        rows = self.rows[self.rows["pixel_id"] != ""]
        order = (rows["drop_reason"] != "").sort_values(kind="stable").index
        first = rows.loc[order].drop_duplicates("pixel_id")
        return dict(zip(first["pixel_id"], first.index, strict=True))

    def verdict(self, image_id: str) -> Event | None:
        """What people said of an image."""
        return self.verdicts.images.get(image_id)

    def seen(self, names: Collection[str], root: Path) -> dict[str, tuple[int, str]]:
        """Size and image_id by name, of `names` below `root` that the run knows; none if its images lie elsewhere."""
        if str(root) != str(self.images_root):
            return {}
        mine = self.rows[self.rows["file_name"].isin(set(names))]
        pairs = zip(mine["file_bytes"], mine["image_id"], strict=True)
        return dict(zip(mine["file_name"], ((int(size), key) for size, key in pairs), strict=True))
