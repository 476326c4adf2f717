"""The cleaned set as all kinds of export see it: the kept rows with their weights, the classes, the dropped rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from cleaner.dataset.lineage import open_parent
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.verdicts import read_verdicts
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, first_few
from cleaner.progress import Progress, Silent

COLUMNS = (
    *("file_name", "clean_label", "split", "label", "image_id", "keep", "drop_stage", "drop_reason"),
    *("format", "fault", "file_bytes"),
)
"""The columns of a manifest that every export reads, besides `repeats` if there is one."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A set to export."""

    kept: pd.DataFrame
    """The kept rows by file_name: the columns of the manifest that were read, `repeats` and `weight`."""
    dropped: pd.DataFrame
    """The other rows, by file_name."""
    classes: list[str]
    """The classes of the kept rows, sorted: those of `train`, where there is such a split."""
    images_root: Path
    workspace: Workspace | None = None
    source: str = "manifest"
    """The stage whose manifest it is."""
    warnings: list[str] = field(default_factory=list)
    progress: Progress = field(default_factory=Silent)

    @classmethod
    def open(
        cls,
        workspace: Workspace,
        *,
        from_file: Path | None = None,
        columns: Collection[str] = (),
        progress: Progress | None = None,
    ) -> Cleaned:
        """The set of the last complete stage, or of the manifest `from_file`, with `columns` where they exist.

        Raises StaleStageError if that is missing or stale, BadInputError if it cannot be used or keeps no image.
        """
        source = open_parent(workspace, "export", from_file, read_verdicts(workspace))
        manifest = read_manifest(source.path, [*COLUMNS], optional=["repeats", *columns])
        return cls.of(
            manifest, source.images_root, workspace=workspace, source=source.name, progress=progress or Silent()
        )

    @classmethod
    def of(
        cls,
        manifest: pd.DataFrame,
        images_root: Path,
        *,
        workspace: Workspace | None = None,
        source: str = "manifest",
        progress: Progress | None = None,
    ) -> Cleaned:
        """The set of a manifest with `COLUMNS`.

        Rows of other splits whose class has no training image left are not exported: a model cannot know the class,
        and its folder would shift the numbers of all classes after it. Raises BadInputError if no row is kept.
        """
        if "repeats" not in manifest.columns:
            manifest = manifest.assign(repeats=manifest["keep"].to_numpy(dtype="int32"))
        if not manifest["file_name"].is_monotonic_increasing:
            manifest = manifest.sort_values("file_name", kind="stable")
        kept, rest = manifest.loc[manifest["keep"]], manifest.loc[~manifest["keep"]]
        if kept.empty:
            raise BadInputError(
                "no image is kept: there is nothing to export", next_step="see drop_reason in the manifest"
            )
        in_train = kept["split"] == "train"
        classes = sorted(set(kept.loc[in_train, "clean_label"] if in_train.any() else kept["clean_label"]))
        strange = ~kept["clean_label"].isin(classes)
        warnings = []
        if strange.any():
            names = first_few(sorted(set(kept.loc[strange, "clean_label"])))
            warnings.append(
                f"{int(strange.sum())} images of other splits are left out: no training image of their class ({names})"
            )
            kept = kept.loc[~strange]
        return cls(
            kept=kept.assign(weight=_weights(kept)),
            dropped=rest.assign(weight=0.0),
            classes=classes,
            images_root=images_root,
            workspace=workspace,
            source=source,
            warnings=warnings,
            progress=progress or Silent(),
        )

    @cached_property
    def is_repeated(self) -> bool:
        """Whether any image counts more than once."""
        return bool((self.kept["repeats"] > 1).any())

    @cached_property
    def splits(self) -> list[str]:
        """The splits of the kept rows: train first, the others sorted."""
        return sorted(set(self.kept["split"]), key=lambda name: (name != "train", name))


def _weights(kept: pd.DataFrame) -> pd.Series[float]:
    """How often to draw each image in one pass through the set, by its class alone.

    The repeats of a class and split, divided among its images evenly: their sum is that of the repeats.
    """
    of_class = kept.groupby(["split", "clean_label"], sort=False)["repeats"]
    return of_class.transform("mean").astype("float64")
