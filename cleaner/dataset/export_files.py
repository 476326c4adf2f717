"""Files of an exported image folder: writing all of them or none."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cleaner.dataset.locations import read_bytes
from cleaner.dataset.pixels import decode, open_image, sniff_format
from cleaner.errors import BadInputError, CleanerError

Mode = Literal["hardlink", "symlink", "copy"]
# errors of file systems and devices on which a hard link is not possible
_NO_HARDLINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


@dataclass(frozen=True)
class ExportedFile:
    """An image and its names in the export."""

    source: Path
    target: PurePosixPath
    """Relative to the export, as `repeats`."""
    repeats: tuple[PurePosixPath, ...] = ()
    as_png: bool = False
    """Whether it is converted."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block succeeds, and is removed otherwise.

    Raises CleanerError if it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=".cleaner-export-", suffix=".tmp"))
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
    num_copied, source = 0, file.source
    for target in (file.target, *file.repeats):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.as_png and source is file.source:
            _write_png(source, path)
            source = path  # what repeats are linked to
        elif mode == "symlink" and not file.as_png:
            path.symlink_to(source)
        elif mode == "copy" or not _hardlinked(source, path):
            shutil.copy2(source, path)
            num_copied += mode == "hardlink"
    return num_copied


def _write_png(source: Path, path: Path) -> None:
    """Write an image as scan sees it, upright and its first frame, as PNG."""
    data = read_bytes(source)
    try:
        decode(open_image(data, sniff_format(data[:4096]))).save(path, "PNG")
    except Exception as error:  # a file that changed since the scan can make Pillow raise nearly anything
        raise BadInputError(
            f"{source}: cannot be converted", found=str(error), next_step="run `cleaner scan IMAGES` again"
        ) from error


def _hardlinked(source: Path, path: Path) -> bool:
    try:
        path.hardlink_to(source)
    except OSError as error:
        if error.errno in _NO_HARDLINK:
            return False
        raise
    return True
