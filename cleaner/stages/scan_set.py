"""What a scan reads: which files, under which labels and splits, by their folders or by a list."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.config import ScanSettings
from cleaner.dataset.class_folders import TRAIN, holds_image, read_folders, read_splits
from cleaner.dataset.class_names import find_alike, read_class_names
from cleaner.dataset.files import find_file
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.label_lists import LabelList, read_labels
from cleaner.dataset.locations import is_remote
from cleaner.dataset.tree_lists import about_links, read_inside, read_metadata, refuse_unreadable
from cleaner.dataset.words import Words
from cleaner.errors import BadInputError, first_few
from cleaner.setting import read_pairs

OUTSIDE = "images in no class folder"
"""Under this name they are counted among what is passed over."""


@dataclass(frozen=True)
class ScanSet:
    """The files that get a row, with their labels and splits."""

    files: FoundFiles
    """By name."""
    labels: Words
    splits: Words
    num_unlisted: int | None = None
    """With a list: the number of files below the root that are not in it."""
    votes: pd.DataFrame | None = None
    """With a list of annotators: see `LabelList`."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """Folders that belong to no split, and the number of files in each; images in no class folder under `OUTSIDE`."""
    warnings: list[str] = field(default_factory=list)

    @property
    def alike(self) -> dict[str, str]:
        """Classes whose names read alike, each with the one that may stand for all (see `find_alike`)."""
        return find_alike(self.labels.counts(self.files.sound))

    def take(self, rows: np.ndarray) -> ScanSet:
        """The set of the files `rows` (R,) int of this one."""
        return replace(
            self, files=self.files.take(rows.tolist()), labels=self.labels.take(rows), splits=self.splits.take(rows)
        )


def choose_files(root: Path, found: FoundFiles, settings: ScanSettings, *, adds: bool = False) -> ScanSet:
    """The set that `settings` make of the files `found` below `root`, with warnings about what looks odd in it.

    `adds`: it is to be added to another one, so it may well have one class, and no training images.

    Raises BadInputError for a tree without class folders, or with as many images outside of them, or a list or names
    that cannot be used; UsageError for a folder of `--splits` that holds no files.
    """
    columns = dict(read_pairs(settings.columns))
    listed: LabelList | None
    if settings.labels_file:
        listed = read_labels(Path(settings.labels_file), root, set(found.names()), columns)
    else:
        listed = None if is_remote(root) else read_metadata(found, columns) or read_inside(found, columns)
    chosen = _from_folders(root, found, settings) if listed is None else _from_list(root, found, listed, settings)
    if settings.class_names:
        chosen = _with_class_names(chosen, Path(settings.class_names))
    chosen.warnings.extend(about_links(chosen.files))
    outside = [file.name for file in chosen.files.faulty.values() if file.fault == "outside_root"]
    if outside:
        chosen.warnings.append(
            f"{len(outside):,} links lead out of {root} and are not followed: {first_few(outside)} "
            "(--follow-symlinks admits them)"
        )
    # in ASCII, so that names which look the same can be told apart
    pairs = [] if settings.normalize_labels else [f"{name!a} and {best!a}" for name, best in chosen.alike.items()]
    if pairs:
        chosen.warnings.append(
            f"classes whose names read alike: {first_few(pairs)}; if they are one, add --normalize-labels"
        )
    if adds:
        return chosen
    if len(chosen.labels.counts().keys() - {""}) == 1:
        chosen.warnings.append("one class only: noise and copies can be found, but no label can be told to be wrong")
    splits = chosen.splits.counts()
    if TRAIN not in splits:
        chosen.warnings.append(
            f"no image is of the split {TRAIN}, the only one that models learn from: found {', '.join(splits)}"
        )
    return chosen


def _from_folders(root: Path, found: FoundFiles, settings: ScanSettings) -> ScanSet:
    """All files, labelled by their folders; those that are no images need no label, images without one get no row."""
    files = found[: settings.limit] if settings.limit else found
    if not holds_image(files):
        refuse_unreadable(root, files)
    tree = read_folders(files, settings.label_from, read_pairs(settings.splits))
    if not any(tree.labels):
        raise BadInputError(
            f"{root}: no class folders",
            expected="one folder of images for each class",
            found=f"{len(files):,} files, such as {files[0].name}",
            next_step="sort the images into class folders, or give a list with --labels FILE",
        )
    chosen = ScanSet(tree.files, tree.labels, tree.splits, passed_over=tree.passed_over, warnings=list(tree.warnings))
    return _without_stray(root, chosen)


def _without_stray(root: Path, chosen: ScanSet) -> ScanSet:
    """The set less images in no class folder, with a warning; BadInputError if no fewer than the files in one."""
    has_label = np.array([label != "" for label in chosen.labels.distinct], dtype=bool)[chosen.labels.codes]
    rows = [row for row in np.flatnonzero(~has_label).tolist() if holds_image(chosen.files[row : row + 1])]
    if not rows:
        return chosen
    stray, num_labelled = [chosen.files[row].name for row in rows], int(has_label.sum())
    if len(stray) >= num_labelled:
        raise BadInputError(
            f"{root}: {len(stray):,} images in no class folder, such as {stray[0]}, so they have no label",
            expected=f"fewer than the {num_labelled:,} files in class folders",
            next_step="move them into their class folders, or give a list with --labels FILE",
        )
    told = f"{len(stray):,} images lie in no class folder, have no label and are passed over: {first_few(stray)}"
    return replace(
        chosen.take(np.setdiff1d(np.arange(len(has_label)), rows, assume_unique=True)),
        passed_over=chosen.passed_over | {OUTSIDE: len(stray)},
        warnings=[*chosen.warnings, told],
    )


def _from_list(root: Path, found: FoundFiles, listed: LabelList, settings: ScanSettings) -> ScanSet:
    """The listed files, sorted by name."""
    table, warnings = listed.table, list(listed.warnings)
    if settings.limit:
        found, table = found[: settings.limit], table.head(settings.limit)
    names = table["file_name"].tolist()
    rows = list(found.rows_of(names))
    files = FoundFiles(
        str(root),
        (
            find_file(root, name, settings.follow_symlinks) if row is None else found[row]
            for name, row in zip(names, rows, strict=True)
        ),
    )
    absent = [file.name for file in files.faulty.values() if file.fault == "missing"]
    if len(absent) == len(files):
        raise BadInputError(
            f"{settings.labels_file or 'metadata'}: none of its {len(files):,} file names is below {root}",
            expected=f"names relative to the images root, such as {found[0].name}",
            found=names[0],
            next_step="correct the column file_name, or give another images root",
        )
    if absent:
        warnings.append(f"{len(absent):,} listed files do not exist: {first_few(absent)} (fault `missing`)")
    own = {Path(name).resolve() for name in (settings.labels_file, settings.class_names) if name}
    listed_rows = {row for row in rows if row is not None}
    others = (found[row] for row in range(len(found)) if row not in listed_rows)
    unlisted = [file.name for file in others if Path(file.path) not in own]
    if unlisted:
        warnings.append(f"{len(unlisted):,} files are not in the list and are left out: {first_few(unlisted)}")
    given = "split" in table and not (settings.splits and not settings.labels_file)
    splits = Words(table["split"]) if given else read_splits(files, read_pairs(settings.splits))
    return ScanSet(files, Words(table["label"]), splits, len(unlisted), votes=listed.votes, warnings=warnings)


def _with_class_names(chosen: ScanSet, file: Path) -> ScanSet:
    """The set with names in place of the numbers or codes that its labels are."""
    votes = chosen.votes
    labels = chosen.labels.distinct if votes is None else votes["label"]
    names = read_class_names(file, filter(None, labels))
    if votes is not None:
        votes = votes.assign(label=votes["label"].map(names))
    return replace(chosen, labels=chosen.labels.translated(names), votes=votes)
