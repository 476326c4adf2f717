"""The cleaned set as folders that torchvision's `ImageFolder` reads, or as one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from cleaner.dataset.export_files import (
    ExportedFile,
    FreeNames,
    Mode,
    is_read_by_image_folder,
    name_with_extension,
    new_folder,
    place_file,
    require_folder_names,
    why_no_folder,
)
from cleaner.dataset.locations import is_remote
from cleaner.dataset.names import image_path
from cleaner.dataset.tables import write_table_file
from cleaner.errors import BadInputError, UsageError, first_few
from cleaner.progress import Progress, Silent

Repeats = Literal["files", "csv", "ignore"]

DROPPED = "dropped"
CLASSES_FILE = "classes.txt"
REPEATS_FILE = "repeats.csv"
_CSV_COLUMNS = ["file_name", "clean_label", "split", "label", "image_id", "keep", "drop_stage", "drop_reason"]
COLUMNS = [*_CSV_COLUMNS, "format", "fault", "file_bytes"]
"""The columns of a manifest that an export reads, besides `repeats` if there is one."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export wrote."""

    out: Path
    classes: list[str]
    """In the order in which ImageFolder and `class_priors.json` number them."""
    num_files: int
    """Kept images, each counted once."""
    num_repeats: int = 0
    """Additional files or rows for images that are repeated."""
    num_dropped: int = 0
    """Dropped images that were written as well."""
    num_copied: int = 0
    """Files copied because they could not be hard-linked."""
    warnings: list[str] = field(default_factory=list)


def export_folder(
    manifest: pd.DataFrame,
    images_root: Path,
    out: Path,
    *,
    mode: Mode = "hardlink",
    repeats: Repeats = "files",
    dropped: bool = False,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> ExportResult:
    """Write the kept images as `OUT/<clean_label>/<name>`, and `classes.txt`.

    With several splits, or with `dropped`, each split has a folder of its own: `OUT/train/<clean_label>/<name>`;
    every split then has a folder for every class, so that ImageFolder numbers them alike. `dropped` writes the dropped
    images to `OUT/dropped/<stage>-<reason>/<label>/`. `repeats`: `files` writes an image that is repeated n times under
    n names, `csv` lists the numbers in `repeats.csv`. Files that ImageFolder would not recognise as images get the
    extension of their format. The source images are never changed; but a hard link is the same file, so editing the
    export in place edits the source (use `copy` then). Where a hard link is not possible the file is copied.

    OUT must be absent or empty; it appears once everything is written, and never with `dry_run`. Raises UsageError if
    OUT cannot be used, BadInputError if a class cannot be a folder or a source file is missing or changed.
    """
    _check_out(out, images_root, folder=True)
    kept, classes, warnings = _kept_rows(manifest)
    splits = sorted(set(kept["split"]))
    by_split = dropped or len(splits) > 1
    files = {CLASSES_FILE, REPEATS_FILE}
    require_folder_names(classes, set() if by_split else files)
    require_folder_names(splits, {DROPPED, *files} if by_split else set())
    names = FreeNames()
    exported = _plan(kept, images_root, names, by_split=by_split, with_repeats=repeats == "files")
    rest = _plan_dropped(manifest, images_root, names) if dropped else []
    folders = [PurePosixPath(s, c) for s in splits for c in classes] if by_split else []
    gone = int((~manifest["keep"]).sum()) - len(rest) if dropped else 0
    if gone:
        warnings.append(f"{gone} dropped files are missing, lead out of {images_root} or have a bad name: not exported")
    warnings += _warnings(folders, exported)
    num_copied = 0
    if not dry_run:
        with new_folder(out) as temporary, (progress or Silent()).task("export", len(exported) + len(rest)) as task:
            for folder in folders:
                (temporary / folder).mkdir(parents=True)
            for file in [*exported, *rest]:
                num_copied += place_file(temporary, file, mode)
                task.advance()
            (temporary / CLASSES_FILE).write_bytes("".join(f"{c}\n" for c in classes).encode())
            if repeats == "csv":
                write_table_file(temporary / REPEATS_FILE, _repeats_table(kept, exported))
    return ExportResult(
        out=out,
        classes=classes,
        num_files=len(exported),
        num_repeats=sum(len(file.repeats) for file in exported),
        num_dropped=len(rest),
        num_copied=num_copied,
        warnings=warnings,
    )


def export_csv(
    manifest: pd.DataFrame, out: Path, *, repeats: Repeats = "csv", dropped: bool = False, dry_run: bool = False
) -> ExportResult:
    """Write the kept rows as one table (.csv, .tsv, .parquet): file_name, clean_label, split, label, image_id.

    `repeats`: `csv` adds the column, `files` repeats the row, `ignore` does neither. `dropped` adds the dropped rows,
    with keep, drop_stage and drop_reason. OUT must not exist; raises UsageError if it does.
    """
    _check_out(out, None, folder=False)
    kept, classes, warnings = _kept_rows(manifest)
    rows = kept
    if dropped:
        rows = pd.concat([kept, _with_repeats(manifest.loc[~manifest["keep"]])]).sort_values("file_name", kind="stable")
    columns = [c for c in _CSV_COLUMNS if dropped or c not in ("keep", "drop_stage", "drop_reason")]
    if repeats == "files":
        rows = rows.loc[rows.index.repeat(rows["repeats"].clip(lower=0 if not dropped else 1))]
    table = rows[[*columns, "repeats"] if repeats == "csv" else columns]
    if not dry_run:
        write_table_file(out, table)
    return ExportResult(
        out=out,
        classes=classes,
        num_files=len(kept),
        num_repeats=int((kept["repeats"] - 1).clip(lower=0).sum()) if repeats == "files" else 0,
        num_dropped=int((~manifest["keep"]).sum()) if dropped else 0,
        warnings=warnings,
    )


def _with_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    if "repeats" in rows.columns:
        return rows
    return rows.assign(repeats=rows["keep"].to_numpy(dtype="int32"))


def _kept_rows(manifest: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The kept rows by file_name, the classes (those of `train`, where there is one), and warnings.

    Rows of other splits whose class has no training image left are not exported: a model cannot know the class, and
    its folder would shift the numbers of all classes after it.
    """
    kept = _with_repeats(manifest.loc[manifest["keep"]]).sort_values("file_name", kind="stable")
    if kept.empty:
        raise BadInputError("no image is kept: there is nothing to export", next_step="see drop_reason in the manifest")
    in_train = kept["split"] == "train"
    classes = sorted(set(kept.loc[in_train, "clean_label"] if in_train.any() else kept["clean_label"]))
    strange = ~kept["clean_label"].isin(classes)
    if not strange.any():
        return kept, classes, []
    names = first_few(sorted(set(kept.loc[strange, "clean_label"])))
    warning = f"{int(strange.sum())} images of other splits are left out: no training image of their class ({names})"
    return kept.loc[~strange], classes, [warning]


def _plan(
    kept: pd.DataFrame, images_root: Path, names: FreeNames, *, by_split: bool, with_repeats: bool
) -> list[ExportedFile]:
    folders = [
        PurePosixPath(split, label) if by_split else PurePosixPath(label)
        for split, label in zip(kept["split"], kept["clean_label"], strict=True)
    ]
    rows = zip(_sources(kept, images_root), folders, kept["file_name"], kept["format"], strict=True)
    files = [
        ExportedFile(source, names.take(folder, name_with_extension(PurePosixPath(name), image_format)))
        for source, folder, name, image_format in rows
    ]
    if not with_repeats:
        return files
    # repeats are named last, so that none takes another image's name
    return [
        ExportedFile(f.source, f.target, tuple(names.take(f.target.parent, f.target.name) for _ in range(1, num)))
        for f, num in zip(files, kept["repeats"], strict=True)
    ]


def _plan_dropped(manifest: pd.DataFrame, images_root: Path, names: FreeNames) -> list[ExportedFile]:
    """The dropped images whose files exist below the images root."""
    rows = manifest.loc[~manifest["keep"] & (manifest["fault"] != "outside_root")]
    rows = rows.sort_values("file_name", kind="stable")
    files = []
    columns = [rows[name] for name in ("file_name", "label", "drop_stage", "drop_reason")]
    for file_name, label, stage, reason in zip(*columns, strict=True):
        name = PurePosixPath(file_name)
        source = image_path(images_root, file_name)
        if _leads_out(name) or not source.is_file():
            continue
        folder = PurePosixPath(DROPPED, f"{stage}-{reason}")
        if not why_no_folder(label):  # an unusable label among the dropped images does not stop the export
            folder /= label
        files.append(ExportedFile(source.resolve(), names.take(folder, name.name)))
    return files


def _leads_out(name: PurePosixPath) -> bool:
    return name.is_absolute() or ".." in name.parts


def _sources(kept: pd.DataFrame, images_root: Path) -> list[Path]:
    """The real file of every kept row. Raises BadInputError if any is missing or has another size."""
    sources, wrong = [], []
    for name, expected in zip(kept["file_name"], kept["file_bytes"], strict=True):
        if _leads_out(PurePosixPath(name)):
            raise BadInputError(f"file_name {name!r} leads out of {images_root}")
        source = image_path(images_root, name)
        try:
            size = source.stat().st_size
        except OSError as error:
            wrong.append(f"{name} ({error.strerror})")
            continue
        if size != expected:
            wrong.append(f"{name} ({size} bytes instead of {expected})")
        sources.append(source.resolve())
    if wrong:
        raise BadInputError(
            f"{images_root}: {len(wrong)} images have changed since the scan",
            found=first_few(wrong),
            next_step="run `cleaner scan IMAGES` and the stages after it again",
        )
    return sources


def _check_out(out: Path, images_root: Path | None, *, folder: bool) -> None:
    if images_root is not None and is_remote(images_root):
        raise UsageError(
            f"{images_root}: an image folder can only be made of local files",
            next_step="export a list (--to csv, parquet …), or fetch the images and scan them here",
        )
    if images_root is not None and out.resolve().is_relative_to(images_root.resolve()):
        raise UsageError(f"{out} lies among the source images in {images_root}", next_step="name another folder")
    taken = out.exists() and not (folder and out.is_dir() and not any(out.iterdir()))
    if taken or out.is_symlink():
        rule = "a folder that is empty or does not exist" if folder else "a file that does not exist"
        raise UsageError(f"{out}: already exists", expected=rule, next_step="choose another name, or remove it")


def _warnings(folders: list[PurePosixPath], exported: list[ExportedFile]) -> list[str]:
    """Warnings for the export's readers: names that ImageFolder ignores, and folders without images."""
    ignored = sum(not is_read_by_image_folder(file.target) for file in exported)
    empty = sorted({f.as_posix() for f in folders} - {file.target.parent.as_posix() for file in exported})
    found = []
    if ignored:
        found.append(f"{ignored} files have a name that ImageFolder ignores (GIF, say): pass it `is_valid_file`")
    if empty:
        named = first_few(empty)
        found.append(f"{len(empty)} class folders are empty ({named}): read them with ImageFolder(…, allow_empty=True)")
    return found


def _repeats_table(kept: pd.DataFrame, exported: list[ExportedFile]) -> pd.DataFrame:
    table = kept[["file_name", "clean_label", "split", "repeats"]].copy()
    table.insert(0, "path", pd.Series([f.target.as_posix() for f in exported], index=kept.index, dtype=object))
    return table
