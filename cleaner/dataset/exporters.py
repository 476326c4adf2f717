"""The cleaned set as folders that torchvision's `ImageFolder` reads, or as one table."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from cleaner.dataset.locations import is_remote
from cleaner.dataset.tables import write_table_file
from cleaner.errors import BadInputError, CleanerError, UsageError
from cleaner.progress import Progress, Silent, Task

Mode = Literal["hardlink", "symlink", "copy"]
Repeats = Literal["files", "csv", "ignore"]

DROPPED = "dropped"
CLASSES_FILE = "classes.txt"
REPEATS_FILE = "repeats.csv"
_CSV_COLUMNS = ["file_name", "clean_label", "split", "label", "image_id", "keep", "drop_stage", "drop_reason"]
COLUMNS = [*_CSV_COLUMNS, "format", "fault", "file_bytes"]
"""What an export reads of a manifest, and `repeats` where it is there."""
_MAX_SHOWN = 5
_MAX_NAME_BYTES = 255  # of every common file system
# What torchvision.datasets.folder.IMG_EXTENSIONS holds; files with another name are passed over by ImageFolder.
_READ_BY_IMAGE_FOLDER = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
_EXTENSION_OF = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "PPM": ".ppm", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp",
}  # fmt: skip
# A hard link is not possible here: other device, no permission, too many links, a file system without them.
_NO_HARDLINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export wrote."""

    out: Path
    classes: list[str]
    """In the order in which ImageFolder numbers them, and `class_priors.json` too."""
    num_files: int
    """Kept images, each once."""
    num_repeats: int = 0
    """Additional files, because of `repeats`."""
    num_dropped: int = 0
    """Dropped images written under `dropped/`."""
    num_copied: int = 0
    """Files copied because they could not be hard-linked."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Item:
    source: Path
    target: PurePosixPath
    """Relative to the export."""
    extra: tuple[PurePosixPath, ...] = ()


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
    every split then has every class's folder, so that ImageFolder numbers them alike. `dropped` writes the rest to
    `OUT/dropped/<stage>-<reason>/<label>/`. `repeats`: `files` writes an image that is to be seen n times under n
    names, `csv` says it in `repeats.csv`. Files whose names do not tell ImageFolder that they are images get the
    extension of their format. The source images are never touched; but a hard link is the same file, so whoever edits
    the export in place edits the source (use `copy` then). Where a hard link is not possible the file is copied.

    OUT must be absent or empty; it appears when all of it is written, with `dry_run` never. Raises UsageError if it is
    not so, BadInputError if a class cannot be a folder or a source file has gone or changed.
    """
    _check_out(out, images_root, folder=True)
    kept, classes, warnings = _kept_rows(manifest)
    by_split = dropped or len(set(kept["split"])) > 1
    _check_folder_names(classes, {CLASSES_FILE, REPEATS_FILE} if not by_split else set())
    _check_folder_names(sorted(set(kept["split"])), {DROPPED, CLASSES_FILE, REPEATS_FILE} if by_split else set())
    names = _Names()
    items = _plan(kept, images_root, names, by_split=by_split, with_extra=repeats == "files")
    rest, gone = _plan_dropped(manifest, images_root, names) if dropped else ([], 0)
    if gone:
        warnings.append(f"{gone} dropped files are missing, lead out of {images_root} or have a bad name: not exported")
    unseen = sum(PurePosixPath(i.target).suffix.lower() not in _READ_BY_IMAGE_FOLDER for i in items)
    if unseen:
        warnings.append(f"{unseen} files have a name that ImageFolder passes over (GIF, say): give it `is_valid_file`")
    folders = [PurePosixPath(s, c) for s in sorted(set(kept["split"])) for c in classes] if by_split else []
    warnings += _empty_folders(folders, items)
    num_copied = 0
    if not dry_run:
        table = _repeats_table(kept, items) if repeats == "csv" else None
        num_copied = _write_folder(out, [*items, *rest], folders, classes, table, mode, progress or Silent())
    return ExportResult(
        out=out, classes=classes, num_files=len(items), num_repeats=sum(len(i.extra) for i in items),
        num_dropped=len(rest), num_copied=num_copied, warnings=warnings,
    )  # fmt: skip


def _write_folder(
    out: Path,
    items: list[_Item],
    folders: list[PurePosixPath],
    classes: list[str],
    repeats: pd.DataFrame | None,
    mode: Mode,
    progress: Progress,
) -> int:
    """Write it all, and say how many files were copied because they could not be linked."""
    with _appearing(out) as temporary, progress.task("export", len(items)) as task:
        for folder in folders:
            (temporary / folder).mkdir(parents=True)
        num_copied = sum(_place(temporary, item, mode, task) for item in items)
        (temporary / CLASSES_FILE).write_bytes("".join(f"{c}\n" for c in classes).encode())
        if repeats is not None:
            write_table_file(temporary / REPEATS_FILE, repeats)
    return num_copied


def export_csv(
    manifest: pd.DataFrame, out: Path, *, repeats: Repeats = "csv", dropped: bool = False, dry_run: bool = False
) -> ExportResult:
    """Write the kept rows as one table (.csv, .tsv, .parquet): file_name, clean_label, split, label, image_id.

    `repeats`: `csv` adds the column, `files` writes a row that often, `ignore` neither. `dropped` adds the dropped rows
    too, with keep, drop_stage and drop_reason. OUT must not exist; raises UsageError if it does.
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

    Rows of another split whose class has no training image left are not exported: a model cannot know it, and its
    folder would shift the number of every class after it.
    """
    kept = _with_repeats(manifest.loc[manifest["keep"]]).sort_values("file_name", kind="stable")
    if kept.empty:
        raise BadInputError("no image is kept: there is nothing to export", next_step="see drop_reason in the manifest")
    in_train = kept["split"] == "train"
    classes = sorted(set(kept.loc[in_train, "clean_label"] if in_train.any() else kept["clean_label"]))
    strange = ~kept["clean_label"].isin(classes)
    if not strange.any():
        return kept, classes, []
    names = ", ".join(sorted(set(kept.loc[strange, "clean_label"]))[:_MAX_SHOWN])
    warning = f"{int(strange.sum())} images of other splits are left out: no training image of their class ({names})"
    return kept.loc[~strange], classes, [warning]


def _plan(kept: pd.DataFrame, images_root: Path, names: _Names, *, by_split: bool, with_extra: bool) -> list[_Item]:
    folders = [
        PurePosixPath(split, label) if by_split else PurePosixPath(label)
        for split, label in zip(kept["split"], kept["clean_label"], strict=True)
    ]
    rows = zip(_sources(kept, images_root), folders, kept["file_name"], kept["format"], strict=True)
    items = [
        _Item(source, names.take(folder, _name_with_extension(PurePosixPath(file_name).name, image_format)))
        for source, folder, file_name, image_format in rows
    ]
    if not with_extra:
        return items
    # Repetitions get their names last, so that they never push an image away from its own.
    return [
        _Item(item.source, item.target, tuple(names.take(item.target.parent, item.target.name) for _ in range(1, num)))
        for item, num in zip(items, kept["repeats"], strict=True)
    ]


def _plan_dropped(manifest: pd.DataFrame, images_root: Path, names: _Names) -> tuple[list[_Item], int]:
    """The dropped rows whose file is there, inside the root; and how many are not."""
    rows = manifest.loc[~manifest["keep"]].sort_values("file_name", kind="stable")
    rows = rows.loc[rows["fault"] != "outside_root"]
    items = []
    columns = [rows[name] for name in ("file_name", "label", "drop_stage", "drop_reason")]
    for file_name, label, stage, reason in zip(*columns, strict=True):
        name = PurePosixPath(file_name)
        source = images_root / name
        if name.is_absolute() or ".." in name.parts or not source.is_file():
            continue
        folder = PurePosixPath(DROPPED, f"{stage}-{reason}")
        if not _why_no_folder(label):  # a strange label among the dropped ones must not stop the export
            folder /= label
        items.append(_Item(source.resolve(), names.take(folder, name.name)))
    return items, int((~manifest["keep"]).sum()) - len(items)


def _sources(kept: pd.DataFrame, images_root: Path) -> list[Path]:
    """The real file of every kept row. Raises BadInputError if some have gone or have another size."""
    sources, wrong = [], []
    for name, expected in zip(kept["file_name"], kept["file_bytes"], strict=True):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise BadInputError(f"file_name {name!r} leads out of {images_root}")
        source = images_root / pure
        try:
            size = source.stat().st_size
        except OSError as error:
            wrong.append(f"{name} ({error.strerror})")
            continue
        if size != expected:
            wrong.append(f"{name} ({size} bytes instead of {expected})")
        sources.append(source.resolve())
    if wrong:
        more = f" and {len(wrong) - _MAX_SHOWN} more" if len(wrong) > _MAX_SHOWN else ""
        raise BadInputError(
            f"{images_root}: {len(wrong)} images are not as they were scanned",
            found=", ".join(wrong[:_MAX_SHOWN]) + more,
            next_step="run `cleaner scan IMAGES` and the stages after it again",
        )
    return sources


class _Names:
    """Hands out file names that are free in their folder, also where upper and lower case are one."""

    def __init__(self) -> None:
        self._taken: dict[PurePosixPath, set[str]] = {}
        self._next: dict[tuple[PurePosixPath, str], int] = {}

    def take(self, folder: PurePosixPath, name: str) -> PurePosixPath:
        """`folder/name`, or `folder/stem~2.ext`, `~3` … where that is taken."""
        taken = self._taken.setdefault(folder, set())
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        number, free = self._next.get((folder, name), 2), name
        while free.casefold() in taken:
            free, number = f"{stem}~{number}{suffix}", number + 1
        self._next[(folder, name)] = number
        taken.add(free.casefold())
        return folder / free


def _name_with_extension(name: str, image_format: str) -> str:
    if PurePosixPath(name).suffix.lower() in _READ_BY_IMAGE_FOLDER:
        return name
    return name + _EXTENSION_OF.get(image_format, "")


def _check_folder_names(names: list[str], reserved: set[str]) -> None:
    for name in names:
        why = "the export has a file or folder of that name" if name in reserved else _why_no_folder(name)
        if why:
            raise BadInputError(
                f"{name!r} cannot be the name of a folder",
                found=why,
                next_step="use `cleaner export --to csv`, or rename it in the labels file and scan again",
            )


def _why_no_folder(name: str) -> str:
    """Why `name` cannot be a folder of its own, or '' if it can."""
    if name in ("", ".", ".."):
        return "it names no folder"
    if "/" in name or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "it holds a slash or a control character"
    if len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES:
        return f"it is longer than {_MAX_NAME_BYTES} bytes"
    return ""


def _check_out(out: Path, images_root: Path | None, *, folder: bool) -> None:
    if images_root is not None and is_remote(images_root):
        raise UsageError(
            f"{images_root}: an image folder is made of files on this machine",
            next_step="export a list (--to csv, parquet …), or fetch the images and scan them here",
        )
    if images_root is not None and out.resolve().is_relative_to(images_root.resolve()):
        raise UsageError(f"{out} lies among the source images in {images_root}", next_step="name another folder")
    taken = out.exists() and not (folder and out.is_dir() and not any(out.iterdir()))
    if taken or out.is_symlink():
        rule = "a folder that is empty or does not exist" if folder else "a file that does not exist"
        raise UsageError(f"{out}: there is something already", expected=rule, next_step="name another, or remove it")


def _empty_folders(folders: list[PurePosixPath], items: list[_Item]) -> list[str]:
    empty = sorted({f.as_posix() for f in folders} - {i.target.parent.as_posix() for i in items})
    if not empty:
        return []
    shown = ", ".join(empty[:_MAX_SHOWN])
    return [f"{len(empty)} class folders are empty ({shown}): read them with ImageFolder(…, allow_empty=True)"]


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends well, and vanishes otherwise."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
        try:
            yield temporary
            temporary.chmod(0o755)  # mkdtemp made it private
            temporary.rename(out)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise CleanerError(
            f"{out}: the export cannot be written", found=str(error), next_step="check permissions and free disk space"
        ) from error


def _place(root: Path, item: _Item, mode: Mode, task: Task) -> int:
    """Put one image under all its names; returns how many were copied although a link was asked for."""
    num_copied = 0
    for target in (item.target, *item.extra):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "symlink":
            path.symlink_to(item.source)
        elif mode == "copy" or not _hardlinked(item.source, path):
            shutil.copy2(item.source, path)
            num_copied += mode == "hardlink"
    task.advance()
    return num_copied


def _hardlinked(source: Path, path: Path) -> bool:
    try:
        path.hardlink_to(source)
    except OSError as error:
        if error.errno in _NO_HARDLINK:
            return False
        raise
    return True


def _repeats_table(kept: pd.DataFrame, items: list[_Item]) -> pd.DataFrame:
    table = kept[["file_name", "clean_label", "split", "repeats"]].copy()
    table.insert(0, "path", pd.Series([i.target.as_posix() for i in items], index=kept.index, dtype=object))
    return table
