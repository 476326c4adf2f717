"""The scan stage: finds all files below the images root, damaged ones and copies among them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import QUALITY_ISSUES, RunOptions, ScanSettings
from cleaner.dataset.archives import is_archive_name
from cleaner.dataset.class_folders import TRAIN
from cleaner.dataset.class_names import record_merges
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.fact_table import FactTable
from cleaner.dataset.files import is_inside, list_files
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.images import LFS_NOTE
from cleaner.dataset.inspection import Limits
from cleaner.dataset.label_lists import VOTES_FILE
from cleaner.dataset.locations import is_remote
from cleaner.dataset.manifest import drop_rows, write_table
from cleaner.dataset.names import read_name, to_file_name
from cleaner.dataset.stage_tables import VOTES
from cleaner.dataset.staleness import images_input
from cleaner.dataset.store import digest_of
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, UsageError, first_few
from cleaner.scoring.copies import count_leaks, count_within, leak_examples, leaking, worse_copies
from cleaner.stages.inputs import inspect_with_engine
from cleaner.stages.scan_copies import Copies, find_copies
from cleaner.stages.scan_quality import judge_quality
from cleaner.stages.scan_rows import categories, facts_frame
from cleaner.stages.scan_set import ScanSet, choose_files
from cleaner.stages.stage_run import StageResult, StageRun


def run_scan(workspace: Workspace, images_root: Path, settings: ScanSettings, options: RunOptions) -> StageResult:
    """Write `scan/manifest.parquet`: one row for each file below `images_root`, with its fault if it has one.

    Without a labels file, a file's label and split come from its folders (see `read_folders`). With one, the listed
    files are the data set: a listed file that does not exist has a row with fault `missing`; files that are not listed
    get no row, and a warning and `counts.unlisted` say how many. With one of several annotators, `scan/votes.parquet`
    holds their votes. `counts.passed_over` counts folders whose files get no row, and images in no class folder. Images
    whose size and mtime have not changed since an earlier scan into this workspace are not read again.

    Raises BadInputError if the root holds no files or no class folders, if as many images lie in no class folder, or if
    the labels file cannot be used; UsageError if the workspace lies among the images, or, unless `options.yes`, for
    a quality issue to drop that is a property of the set.
    """
    run = StageRun.open(workspace, "scan", settings, options)
    root = _checked_root(images_root, workspace)
    passed_over: Counter[str] = Counter()
    found = list_files(root, settings.follow_symlinks, passed_over)
    if not found:
        raise BadInputError(
            f"{images_root}: holds no files", expected="one folder of images for each class", next_step="check the path"
        )
    run = run.reading(images_input(root, found))
    return run.current() or _scan(run, root, found, passed_over)


def _scan(run: StageRun[ScanSettings], root: Path, found: FoundFiles, passed_over: Mapping[str, int]) -> StageResult:
    settings, options = run.settings, run.options
    limits = Limits(settings.max_pixels, settings.file_timeout)
    chosen = choose_files(root, found, settings)
    folder = facts_folder(root)
    facts = inspect_with_engine(run.workspace, chosen.files, "scan", folder, limits, options)
    copies = find_copies(chosen.files, facts, settings, run.workspace, options)
    manifest, counts = _judge(chosen, facts, copies, settings, yes=options.yes)
    place = run.begin() / VOTES_FILE  # not before: an earlier scan stays as it is if this one is refused
    place.unlink(missing_ok=True)
    aside = dict(sorted((Counter(passed_over) + Counter(chosen.passed_over)).items()))
    counts |= {"passed_over": aside} if aside else {}
    if chosen.votes is not None:
        write_table(place, chosen.votes, VOTES.schema)
    if settings.normalize_labels:
        store = DecisionStore(run.workspace.decisions_path)
        counts["merges_recorded"] = record_merges(store, chosen.alike)
    warnings = [*chosen.warnings, *copies.warnings, *_leak_warnings(manifest, counts["split_leaks"])]
    if pointers := manifest.loc[manifest["notes"] == LFS_NOTE, "file_name"].tolist():
        warnings.append(
            f"{len(pointers):,} files are Git LFS pointers: `git lfs pull` fetches them ({first_few(pointers)})"
        )
    for message in warnings:
        options.progress.warn(message)
    files = [facts.looks.write(place.parent)]
    files += [VOTES_FILE] if chosen.votes is not None else []
    return run.complete(manifest, counts=counts, files=files, warnings=warnings)


def facts_folder(root: Path) -> str:
    """Where below the cache the facts of the files below `root` are kept."""
    return f"scan/{digest_of(str(root))[:16]}"


def _checked_root(images_root: Path, workspace: Workspace) -> Path:
    if not images_root.is_dir():
        what = "not a folder" if images_root.exists() else "no such folder"
        raise BadInputError(
            f"{images_root}: {what}",
            expected="the images root: a folder with one folder of images for each class",
            next_step=f"scan the folder that holds it: cleaner scan {images_root.parent}"
            if is_archive_name(images_root.name) and images_root.exists()
            else "check the path, and run `cleaner scan IMAGES`",
        )
    if is_remote(images_root):
        return images_root
    root = images_root.resolve()
    if (path := read_name(str(root))) != path.encode("utf-8", "replace").decode():
        raise BadInputError(
            f"{to_file_name(path)}: this path cannot be recorded",
            expected="a path of the images root that is UTF-8; names below it may be any bytes",
            next_step="rename the folder in it that is not, and scan again",
        )
    home = os.path.realpath(workspace.root)
    below = os.path.relpath(home, root).split("/")
    if is_inside(str(root), home) and not any(part.startswith(".") and part != "." for part in below):
        raise UsageError(
            f"the workspace {workspace.root} lies among the images in {images_root}",
            expected="a workspace outside: its files would be taken for images",
            next_step=f"run `cleaner -C OTHER_FOLDER scan {root}`",
        )
    return root


def _judge(
    chosen: ScanSet, facts: FactTable, copies: Copies, settings: ScanSettings, *, yes: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The manifest and the counts of its record. Unless `yes`, raises UsageError as `SetQuality.require_rare` does."""
    manifest = facts_frame(chosen, facts)
    readable = manifest["readable"].to_numpy()
    manifest["duplicate_group"] = copies.group
    kind = np.where(copies.group < 0, 0, np.where(copies.is_near, 2, 1)).astype(np.int8)
    manifest["duplicate_kind"] = categories(kind, ["", "exact", "near"])
    manifest["duplicate_relation"] = categories(copies.relation.codes, copies.relation.distinct)
    repeated = _repeated(manifest, copies.picture)
    by_copy = repeated.groupby("copy")
    num_labels, num_splits = by_copy["label"].nunique(), by_copy["split"].nunique()
    manifest["label_conflict"] = np.isin(copies.picture, num_labels.index[num_labels > 1])
    quality = judge_quality(manifest)
    if not yes:
        quality.require_rare(settings.drop)
    chosen.warnings.extend(quality.warnings)
    drop_rows(manifest, ~readable, "scan", "unreadable")
    train = repeated[repeated["split"] == TRAIN]
    again = np.zeros(len(manifest), dtype=bool)
    again[train.index[train.duplicated(["copy", "label"])]] = True
    drop_rows(manifest, again, "scan", "exact_duplicate")
    cleaned = manifest["split"].isin([TRAIN, *settings.clean_split]).to_numpy()
    for name in set(settings.drop) & set(QUALITY_ISSUES):
        drop_rows(manifest, cleaned & quality.issues[name], "scan", "low_quality")
    if "leaks" in settings.drop:
        drop_rows(manifest, leaking(manifest), "scan", "split_leak")
    if "near" in settings.drop:
        drop_rows(manifest, cleaned & worse_copies(manifest), "scan", "near_duplicate")
    across = num_splits.index[num_splits > 1]
    counts: dict[str, Any] = {
        "classes": len(chosen.labels.counts(readable)),
        "faults": facts.texts["fault"].counts(~readable),
        "exact_groups": len(by_copy),
        "near_groups": len(np.unique(copies.group[copies.is_near])),
        "label_conflicts": int(manifest["label_conflict"].sum()),
        "cross_split_copies": int(np.isin(copies.picture, across).sum()),
        "split_leaks": count_leaks(manifest),
        "copies_within": count_within(manifest),
        "splits": chosen.splits.counts(),
        "quality": {name: int(rows.sum()) for name, rows in quality.issues.items() if rows.any()},
        "beyond_quality_limit": quality.beyond,
    }
    if notes := int((manifest["notes"] != "").sum()):
        counts["notes"] = notes
    if chosen.num_unlisted is not None:
        counts["unlisted"] = chosen.num_unlisted
    return manifest, counts


def _repeated(manifest: pd.DataFrame, picture: np.ndarray) -> pd.DataFrame:
    """Of the rows whose picture other rows show too, its number (`copy`), label and split; by row."""
    sizes = np.bincount(picture[picture >= 0])
    rows = np.flatnonzero((picture >= 0) & (sizes[picture] > 1)) if len(sizes) else np.empty(0, dtype=np.int64)
    shown = {name: manifest[name].to_numpy()[rows] for name in ("label", "split")}
    return pd.DataFrame({"copy": picture[rows]} | shown, index=rows)


def _leak_warnings(manifest: pd.DataFrame, leaks: dict[str, int]) -> list[str]:
    """What to say of pictures that splits share, exact copies and near ones."""
    if not leaks:
        return []
    listed = ", ".join(f"{num:,} between {splits}" for splits, num in leaks.items())
    advice = "; `--drop leaks` takes the train copies out" if leaking(manifest).any() else ""
    return [f"pictures shared by splits: {listed}, such as {', '.join(leak_examples(manifest, 3))}{advice}"]
