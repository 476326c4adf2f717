"""`cleaner merge`: one scan from several that were made apart, without reading their images again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.fact_table import FIELDS
from cleaner.dataset.files import list_files
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import Limits, remember_facts
from cleaner.dataset.kept_looks import KeptLooks
from cleaner.dataset.locations import is_remote, locate
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.tables import write_table_file
from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.errors import BadInputError, StaleStageError, UsageError
from cleaner.on_demand import OnDemand
from cleaner.stages.scan import facts_folder, run_scan
from cleaner.stages.stage_run import StageResult

IMAGES, LIST = "images", "images.parquet"
_SAME = ("max_pixels", "file_timeout", "near_radius", "drop", "clean_split")
"""Settings that all scans must share, and that the merged one has."""
_CACHED = ("embeddings", "near")


@dataclass(frozen=True)
class _Shard:
    """One of the scans."""

    workspace: Workspace
    record: StageRecord
    root: Path
    manifest: pd.DataFrame
    looks: KeptLooks
    prefix: str
    """The name of its root in the merged set."""


def run_merge(shards: Sequence[Workspace], out: Workspace, options: RunOptions) -> StageResult:
    """Write `scan/` in `out` as one scan over the images of all `shards` would.

    `images/` in `out` holds a link to each root, by its name (`photos`, of equal names `photos-2` …), and
    `images.parquet` the labels and splits of the scans; the scan is one of that folder with that list. Facts are taken
    over where a root is as it was scanned, comparisons and embeddings where a shard has them cached, and people's
    decisions. Links that a scan refused stay out. Raises StaleStageError for a workspace without a scan, UsageError for
    scans with other settings, BadInputError for roots behind URLs.
    """
    opened = _open_shards(shards)
    settings = _shared_settings(opened)
    root = (out.root / IMAGES).absolute()
    _link_roots(root, opened)
    out.cache.mkdir(parents=True, exist_ok=True)
    write_table_file(out.root / LIST, _list_all(opened))
    limits = Limits(settings.max_pixels, settings.file_timeout)
    found = list_files(root, follow_symlinks=True)
    for shard in opened:
        _take_facts(shard, found, limits, out.cache / facts_folder(root.resolve()))
        _take_cache(shard.workspace, out)
        DecisionStore(out.decisions_path).merge(DecisionStore(shard.workspace.decisions_path).events_after(0))
    chosen = ScanSettings(**settings_values(settings), labels_file=str(out.root / LIST), follow_symlinks=True)
    return run_scan(out, root, chosen.absolute(Path()), options)


def settings_values(settings: ScanSettings) -> dict[str, Any]:
    """The settings that scans of shards share."""
    return {name: getattr(settings, name) for name in _SAME}


def _open_shards(workspaces: Sequence[Workspace]) -> list[_Shard]:
    opened: list[_Shard] = []
    taken: dict[str, Path] = {}
    for workspace in workspaces:
        record = workspace.record("scan")
        looks = None if record is None else KeptLooks.read(workspace.stage_dir("scan"))
        if record is None or looks is None:
            raise StaleStageError(
                f"{workspace.root}: no scan of this version", next_step=f"run `cleaner scan IMAGES -C {workspace.root}`"
            )
        root = locate(record.images_root)
        if is_remote(root):
            raise BadInputError(
                f"{workspace.root}: its images lie behind a URL, {root}",
                expected="local folders, or stores that are mounted",
                next_step="scan all of them at once: cleaner scan URL --engine ray",
            )
        prefix = _free_name(root, taken)
        manifest = read_manifest(workspace.manifest_path("scan"))
        opened.append(_Shard(workspace, record, root, manifest, looks, prefix))
    return opened


def _free_name(root: Path, taken: dict[str, Path]) -> str:
    """The name of a root, with a number if another root has it; `taken` remembers it."""
    plain = root.name.lstrip(".") or "root"  # what begins with a dot is hidden
    number, name = 1, plain
    while taken.setdefault(name, root) != root:
        number += 1
        name = f"{plain}-{number}"
    return name


def _shared_settings(shards: Sequence[_Shard]) -> ScanSettings:
    """What the scans have in common. Raises UsageError naming a setting that differs."""
    first = shards[0].record.settings
    for shard in shards[1:]:
        for name in _SAME:
            if shard.record.settings.get(name) != first.get(name):
                raise UsageError(
                    f"{shard.workspace.root} and {shards[0].workspace.root} were scanned with other settings",
                    expected=f"{name} {first.get(name)}",
                    found=f"{name} {shard.record.settings.get(name)}",
                    next_step="scan one of them again with the settings of the other",
                )
    return msgspec.convert({name: first[name] for name in _SAME}, ScanSettings)


def _link_roots(folder: Path, shards: Sequence[_Shard]) -> None:
    """Make `folder` hold the links to the roots, and nothing else of an earlier merge."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {shard.prefix: shard.root for shard in shards}
    for link in folder.iterdir():
        if not link.is_symlink():
            raise BadInputError(
                f"{link}: not a link that a merge has made", next_step="move it away, or merge into another workspace"
            )
        if link.readlink() != wanted.get(link.name):
            link.unlink()
    for name, root in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(root)


def _list_all(shards: Sequence[_Shard]) -> pd.DataFrame:
    """File names, labels and splits of all rows that have a label, links that lead out aside."""
    parts = []
    for shard in shards:
        rows = shard.manifest[(shard.manifest["label"] != "") & (shard.manifest["fault"] != "outside_root")]
        names = f"{shard.prefix}/" + rows["file_name"]
        parts.append(pd.DataFrame({"file_name": names, "label": rows["label"], "split": rows["split"]}))
    return pd.concat(parts, ignore_index=True).drop_duplicates().sort_values("file_name", ignore_index=True)


def _take_facts(shard: _Shard, found: FoundFiles, limits: Limits, folder: Path) -> None:
    """Keep what a scan knows of its files below the merged root, if all are as they were."""
    now = list_files(shard.root, bool(shard.record.settings.get("follow_symlinks")))
    if now.digest() != shard.record.input_sha256("images"):
        return
    row_of = {name: row for row, name in enumerate(shard.manifest["file_name"])}
    files, rows = FoundFiles(str(folder)), []
    for file in found:
        top, _, name = file.name.partition("/")
        if top == shard.prefix and name in row_of and not file.fault:
            files.append(file)
            rows.append(row_of[name])
    remember_facts(files, _ShardFacts(shard, rows), limits, folder)


class _ShardFacts(OnDemand[ImageFacts]):
    """The facts of some rows of a shard's manifest."""

    def __init__(self, shard: _Shard, rows: list[int]) -> None:
        self._shard, self._rows = shard, rows

    def __len__(self) -> int:
        return len(self._rows)

    def _make(self, number: int) -> ImageFacts:
        return _facts_of(self._shard.manifest, self._shard.looks, self._rows[number])


def _facts_of(manifest: pd.DataFrame, looks: KeptLooks, row: int) -> ImageFacts:
    values = {
        name: getattr(manifest[name].iloc[row], "item", lambda v=manifest[name].iloc[row]: v)() for name in FIELDS
    }
    seen = {"near_hash": looks.hashes[row].tobytes(), "keypoints": looks.keypoints(row).tobytes()}
    return ImageFacts(**values, **(seen if values["pixel_id"] else {}))


def _take_cache(shard: Workspace, out: Workspace) -> None:
    """Link or copy what a shard has embedded and compared."""
    for name in _CACHED:
        for path in (shard.cache / name).rglob("*"):
            target = out.cache / path.relative_to(shard.cache)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    target.hardlink_to(path)
                except OSError:
                    shutil.copyfile(path, target)
