"""What changed between two results: what becomes of images, labels, settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cleaner.dataset.manifest import manifest_stage, read_manifest
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import RECORD, StageRecord, Workspace
from cleaner.errors import BadInputError

KEPT = "kept"
"""What becomes of an image that has no drop reason."""
_COLUMNS = ("file_name", "image_id", "label", "clean_label", "keep", "drop_reason")
_OPTIONAL = ("repeats",)


@dataclass(frozen=True)
class Side:
    """One of the two results."""

    file: str
    stage: str
    rows: int
    kept: int


@dataclass(frozen=True)
class Change:
    """Images that share one change, `a` to `b`: KEPT or a drop reason, or two labels."""

    a: str
    b: str
    count: int
    examples: list[str]
    """File names, in order."""


@dataclass(frozen=True)
class ClassChange:
    """How many images of a class changed, by the class in A."""

    label: str
    size: int
    changed: int
    kept_a: int
    kept_b: int


@dataclass(frozen=True)
class SettingChange:
    """A setting of a stage that ran with different values; None where the stage or the setting is absent."""

    stage: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Difference:
    """What `compare` found. All counts are exact; only examples and the list of classes are cut."""

    a: Side
    b: Side
    only_a: int
    """Files that are in A alone."""
    only_b: int
    content_changed: int
    """Files of one name with other content."""
    fates: list[Change]
    """Changes of what becomes of images that are in both, most first."""
    labels: list[Change]
    """Changes of clean_label, most first."""
    repeats_changed: int
    """Images kept in both that are repeated another number of times; 0 unless both went through balance."""
    classes: list[ClassChange]
    """Classes with changes, most first."""
    settings: list[SettingChange]
    images: pd.DataFrame = field(repr=False, compare=False)
    """Every image that changed: file_name, a, b (KEPT or the drop reason, '' where it is absent), label_a, label_b."""

    @property
    def num_changed(self) -> int:
        """Images in both that are kept or dropped otherwise, or stand under another label."""
        return int((self.images["a"].ne("") & self.images["b"].ne("")).sum())

    def document(self) -> dict[str, Any]:
        """All but the single images, as plain JSON values."""
        document = dataclasses.asdict(dataclasses.replace(self, images=pd.DataFrame()))
        del document["images"]  # a table, with a file of its own
        return document | {"changed": self.num_changed}


def compare(a: Path, b: Path, num_examples: int = 3) -> Difference:
    """Compare two workspaces (their last complete stages) or manifests, image by image, by file_name.

    Raises BadInputError if one is neither, or holds no result.
    """
    one, other = _open(a), _open(b)
    both = one.frame.merge(other.frame, on="file_name", how="outer", suffixes=("_a", "_b"), indicator="side")
    in_both = (both["side"] == "both").to_numpy()
    moved = in_both & (both["fate_a"] != both["fate_b"]).to_numpy()
    renamed = in_both & (both["clean_label_a"] != both["clean_label_b"]).to_numpy()
    of_images = {"fate_a": "a", "fate_b": "b", "clean_label_a": "label_a", "clean_label_b": "label_b"}
    images = both.loc[moved | renamed | ~in_both, ["file_name", *of_images]].fillna("").rename(columns=of_images)
    return Difference(
        a=one.side,
        b=other.side,
        only_a=int((both["side"] == "left_only").sum()),
        only_b=int((both["side"] == "right_only").sum()),
        content_changed=int((in_both & (both["image_id_a"] != both["image_id_b"])).sum()),
        fates=_grouped(both[moved], "fate_a", "fate_b", num_examples),
        labels=_grouped(both[renamed], "clean_label_a", "clean_label_b", num_examples),
        repeats_changed=_count_repeats(both[in_both]),
        classes=_by_class(both[in_both].assign(changed=(moved | renamed)[in_both])),
        settings=_compare_settings(one.records, other.records),
        images=images.reset_index(drop=True),
    )


@dataclass(frozen=True)
class _Result:
    side: Side
    frame: pd.DataFrame
    records: dict[str, StageRecord]


def _open(path: Path) -> _Result:
    if not path.exists():
        raise BadInputError(
            f"{path}: no such workspace or manifest", next_step="name a workspace or a manifest.parquet"
        )
    workspace = Workspace(path) if path.is_dir() else Workspace(path.absolute().parent.parent)
    if path.is_dir():
        stage = workspace.last_stage()
        file = workspace.manifest_path(stage)
    else:
        file = path
        stage = workspace.stage_of(str(path.absolute()))
    frame = read_manifest(file, _COLUMNS, optional=_OPTIONAL)
    frame["fate"] = frame["drop_reason"].where(~frame["keep"], KEPT)
    done = STAGES[: STAGES.index(stage) + 1] if stage in STAGES else ()
    found = {s: workspace.record(s) for s in done if (workspace.stage_dir(s) / RECORD).exists()}
    records = {s: r for s, r in found.items() if r is not None}
    return _Result(Side(str(file), stage or manifest_stage(file), len(frame), int(frame["keep"].sum())), frame, records)


def _grouped(rows: pd.DataFrame, a: str, b: str, num_examples: int) -> list[Change]:
    groups = rows.groupby([a, b], sort=True)["file_name"]
    changes = [
        Change(str(before), str(after), len(names), names.head(num_examples).tolist())
        for (before, after), names in groups
    ]
    return sorted(changes, key=lambda c: -c.count)


def _by_class(rows: pd.DataFrame) -> list[ClassChange]:
    counted = rows.groupby("label_a").agg(
        size=("changed", "size"), changed=("changed", "sum"), kept_a=("keep_a", "sum"), kept_b=("keep_b", "sum")
    )
    counted = counted[counted["changed"] > 0].sort_values("changed", ascending=False, kind="stable")
    return [
        ClassChange(str(label), *map(int, row)) for label, row in zip(counted.index, counted.to_numpy(), strict=True)
    ]


def _count_repeats(rows: pd.DataFrame) -> int:
    if not {"repeats_a", "repeats_b"} <= set(rows.columns):
        return 0
    stays = (rows["fate_a"] == KEPT) & (rows["fate_b"] == KEPT)
    return int((stays & (rows["repeats_a"] != rows["repeats_b"])).sum())


def _compare_settings(a: dict[str, StageRecord], b: dict[str, StageRecord]) -> list[SettingChange]:
    found = []
    for stage in STAGES:
        one, other = ((r[stage].settings | {"seed": r[stage].seed}) if stage in r else {} for r in (a, b))
        for name in sorted({*one, *other}) if one and other else ():
            if one.get(name) != other.get(name):
                found.append(SettingChange(stage, name, one.get(name), other.get(name)))
        if bool(one) != bool(other):
            found.append(SettingChange(stage, "", "ran" if one else None, "ran" if other else None))
    return found
