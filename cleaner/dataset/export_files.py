"""Files of an exported image folder: their names, and writing all of them or none."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cleaner.errors import BadInputError, CleanerError

Mode = Literal["hardlink", "symlink", "copy"]
_MAX_NAME_BYTES = 255  # the limit of every common file system
# torchvision.datasets.folder.IMG_EXTENSIONS; ImageFolder ignores files with any other
_READ_BY_IMAGE_FOLDER = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
_EXTENSION_OF = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}
# errors of file systems and devices on which a hard link is not possible
_NO_HARDLINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


@dataclass(frozen=True)
class ExportedFile:
    """An image and its names in the export."""

    source: Path
    target: PurePosixPath
    """Relative to the export, as `repeats`."""
    repeats: tuple[PurePosixPath, ...] = ()


class FreeNames:
    """Hands out file names that are free in their folder, even on file systems that ignore case."""

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


def is_read_by_image_folder(name: PurePosixPath) -> bool:
    """Whether ImageFolder takes a file of this name for an image."""
    return name.suffix.lower() in _READ_BY_IMAGE_FOLDER


def name_with_extension(name: PurePosixPath, image_format: str) -> str:
    """The last part of `name`, with the extension of its format if ImageFolder would ignore it otherwise."""
    return name.name if is_read_by_image_folder(name) else name.name + _EXTENSION_OF.get(image_format, "")


def require_folder_names(names: Iterable[str], reserved: set[str]) -> None:
    """Raise BadInputError for the first of `names` that cannot be a folder of the export."""
    for name in names:
        why = "the export has a file or folder of that name" if name in reserved else why_no_folder(name)
        if why:
            raise BadInputError(
                f"{name!r} cannot be the name of a folder",
                found=why,
                next_step="use `cleaner export --to csv`, or rename it in the labels file and scan again",
            )


def why_no_folder(name: str) -> str:
    """Why `name` cannot be the name of a folder; empty if it can."""
    if name in ("", ".", ".."):
        return "it names no folder"
    if "/" in name or any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "it holds a slash or a control character"
    if len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME_BYTES:
        return f"it is longer than {_MAX_NAME_BYTES} bytes"
    return ""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block succeeds, and is removed otherwise.

    Raises CleanerError if it cannot be written.
    """
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


def place_file(root: Path, file: ExportedFile, mode: Mode) -> int:
    """Put one image below `root` under all its names; returns how many were copied because a hard link failed."""
    num_copied = 0
    for target in (file.target, *file.repeats):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "symlink":
            path.symlink_to(file.source)
        elif mode == "copy" or not _hardlinked(file.source, path):
            shutil.copy2(file.source, path)
            num_copied += mode == "hardlink"
    return num_copied


def _hardlinked(source: Path, path: Path) -> bool:
    try:
        path.hardlink_to(source)
    except OSError as error:
        if error.errno in _NO_HARDLINK:
            return False
        raise
    return True
