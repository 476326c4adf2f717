"""What an exported image folder will hold: every file's source and names, decided before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pandas as pd

from cleaner.dataset.archives import split_place
from cleaner.dataset.names import image_path
from cleaner.errors import BadInputError, first_few
from cleaner.exports.contents import find_sources, leads_out
from cleaner.exports.files import ExportedFile
from cleaner.exports.names import FreeNames, folder_names, is_read_by_image_folder, name_with_extension

DROPPED = "dropped"
CLASSES_FILE = "classes.txt"
CLASS_NAMES_FILE = "classes.csv"
IMAGES_FILE = "images.csv"


@dataclass(frozen=True)
class FolderPlan:
    """The files and folders of an export, relative to it."""

    kept: list[ExportedFile]
    """In the order of the kept rows."""
    dropped: list[ExportedFile]
    classes: dict[str, str]
    """The label of each class folder, in the order in which ImageFolder numbers them."""
    folders: list[PurePosixPath]
    """Class folders that are made even if they stay empty: every split has them all."""
    warnings: list[str]

    @property
    def is_renamed(self) -> bool:
        """Whether any class folder has another name than its class."""
        return any(folder != label for folder, label in self.classes.items())


def plan_folder(
    kept: pd.DataFrame, classes: Sequence[str], dropped: pd.DataFrame | None, images_root: Path, *, convert: bool
) -> FolderPlan:
    """Plan an image folder of the rows `kept`, of `classes` alone, and `dropped` (None: without a place for them).

    `kept` has a column `repeats`, the number of names of each image. Raises BadInputError if ImageFolder could read no
    image of a class, unless `convert`, or if a source file is missing or changed.
    """
    splits = sorted(set(kept["split"]))
    by_split = dropped is not None or len(splits) > 1
    files = {CLASSES_FILE, CLASS_NAMES_FILE, IMAGES_FILE}
    of_class = folder_names(classes, () if by_split else files)
    of_split = folder_names(splits, {DROPPED, *files}) if by_split else dict.fromkeys(splits, "")
    targets = [
        PurePosixPath(of_split[split], of_class[label])
        for split, label in zip(kept["split"], kept["clean_label"], strict=True)
    ]
    names = FreeNames()
    planned = _plan_kept(kept, targets, images_root, names, convert=convert)
    _require_readable(planned)
    rest = [] if dropped is None else _plan_dropped(dropped, images_root, names)
    folders = [PurePosixPath(s, c) for s in of_split.values() for c in of_class.values()] if by_split else []
    label_of = {folder: label for label, folder in sorted(of_class.items(), key=lambda item: item[1])}
    plan = FolderPlan(planned, rest, label_of, folders, [])
    num_gone = 0 if dropped is None else len(dropped) - len(rest)
    plan.warnings.extend(_warnings(plan, num_gone, images_root))
    return plan


def _plan_kept(
    kept: pd.DataFrame, targets: Sequence[PurePosixPath], images_root: Path, names: FreeNames, *, convert: bool
) -> list[ExportedFile]:
    columns = [kept[name] for name in ("file_name", "format", "image_id")]
    rows = zip(find_sources(kept, images_root), targets, *columns, strict=True)
    files = []
    for source, folder, file_name, image_format, image_id in rows:
        name = name_with_extension(PurePosixPath(file_name), image_format)
        as_png = convert and not is_read_by_image_folder(PurePosixPath(name))
        target = names.take(folder, f"{name}.png" if as_png else name)
        files.append(ExportedFile(source, target, as_png=as_png, image_id=image_id))
    # repeats are named last, so that none takes another image's name
    return [
        replace(f, repeats=tuple(names.take(f.target.parent, f.target.name) for _ in range(1, num)))
        for f, num in zip(files, kept["repeats"], strict=True)
    ]


def _require_readable(planned: Sequence[ExportedFile]) -> None:
    """Raise BadInputError if a class folder holds files, but none that ImageFolder takes for an image."""
    readable = {file.target.parent for file in planned if is_read_by_image_folder(file.target)}
    lost = sorted({str(file.target.parent) for file in planned} - set(map(str, readable)))
    if lost:
        raise BadInputError(
            f"ImageFolder would find no image of {len(lost)} classes: {first_few(lost)}",
            expected="a file of a format that it reads (JPEG, PNG, BMP, TIFF, WebP) in each class",
            found="files of other formats alone, such as GIF",
            next_step="add --convert, which writes those as PNG, or export a list with --to csv",
        )


def _plan_dropped(rows: pd.DataFrame, images_root: Path, names: FreeNames) -> list[ExportedFile]:
    """The dropped images whose files exist below the images root."""
    rows = rows.loc[rows["fault"] != "outside_root"]
    of_label = folder_names(filter(None, rows["label"]))
    files = []
    columns = [rows[name] for name in ("file_name", "label", "drop_stage", "drop_reason", "image_id")]
    for file_name, label, stage, reason, image_id in zip(*columns, strict=True):
        name = PurePosixPath(file_name)
        source = image_path(images_root, file_name)
        if leads_out(file_name) or not (source.is_file() or split_place(source)):
            continue
        folder = PurePosixPath(DROPPED, f"{stage}-{reason}", of_label.get(label, ""))
        files.append(ExportedFile(source.resolve(), names.take(folder, name.name), image_id=image_id))
    return files


def _warnings(plan: FolderPlan, num_gone: int, images_root: Path) -> list[str]:
    """Warnings for the export's readers: what is not in it, and what ImageFolder ignores or refuses."""
    found = []
    if num_gone:
        found.append(
            f"{num_gone} dropped files are missing, lead out of {images_root} or have a bad name: not exported"
        )
    ignored = sum(not is_read_by_image_folder(file.target) for file in plan.kept)
    if ignored:
        found.append(
            f"{ignored} files have a name that ImageFolder ignores (GIF, say): add --convert, or pass `is_valid_file`"
        )
    empty = sorted({f.as_posix() for f in plan.folders} - {file.target.parent.as_posix() for file in plan.kept})
    if empty:
        named = first_few(empty)
        found.append(f"{len(empty)} class folders are empty ({named}): read them with ImageFolder(…, allow_empty=True)")
    if plan.is_renamed:
        renamed = [folder for folder, label in plan.classes.items() if folder != label]
        found.append(
            f"{len(renamed)} classes have names that no folder can have: {CLASS_NAMES_FILE} tells which is which "
            f"({first_few(renamed)})"
        )
    return found
