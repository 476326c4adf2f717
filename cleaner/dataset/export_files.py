"""Files of an exported image folder: writing all of them or none."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cleaner.dataset.locations import read_bytes
from cleaner.dataset.pixels import read_picture, sniff_format
from cleaner.dataset.store import digest_of, require_digest, sha256_file
from cleaner.errors import BadInputError, CleanerError, WorkspaceLockedError
from cleaner.system_errors import explain_failure

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
    image_id: str = ""
    """Hex SHA-256 of its bytes when it was scanned; '' where they could not be read."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` when the block succeeds, and is removed otherwise.

    Its name is that of `out` alone, so that the next export there removes what a killed one left. Raises CleanerError
    if it cannot be written, WorkspaceLockedError while another process writes it.
    """
    temporary = out.parent / f".cleaner-export-{digest_of(out.name)[:12]}.tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)  # not tempfile's, which are private whatever the umask says
        try:
            with _owned(temporary, out):
                for left in temporary.iterdir():
                    shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
                yield temporary
                temporary.rename(out)
        except WorkspaceLockedError:
            raise
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise explain_failure(error, out) or CleanerError(
            f"{out}: the export cannot be written", found=str(error), next_step="check permissions and free disk space"
        ) from error


@contextmanager
def _owned(folder: Path, out: Path) -> Iterator[None]:
    """Hold a folder as a lock for the block; no lock is held if the file system has none."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise WorkspaceLockedError(
            f"{out}: another cleaner is exporting to it", next_step="wait until it ends, or name another folder"
        ) from error
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def place_file(root: Path, file: ExportedFile, mode: Mode) -> int:
    """Put one image below `root` under all its names; returns how many were copied because a hard link failed.

    Raises BadInputError if what is copied has other bytes than what was scanned.
    """
    num_copied, source = 0, file.source
    for target in (file.target, *file.repeats):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.as_png and source is file.source:
            _write_png(file, path)
            source = path  # what repeats are linked to
        elif mode == "symlink" and not file.as_png:
            path.symlink_to(source)
        elif mode == "copy" or not _hardlinked(source, path):
            shutil.copy2(source, path)
            if source is file.source and file.image_id:
                require_digest(source, sha256_file(path), file.image_id)
            num_copied += mode == "hardlink"
    return num_copied


def _write_png(file: ExportedFile, path: Path) -> None:
    """Write an image as scan sees it, upright and its first frame, as PNG."""
    data = read_bytes(file.source)
    if file.image_id:
        require_digest(file.source, hashlib.sha256(data).hexdigest(), file.image_id)
    try:
        read_picture(data, sniff_format(data[:4096])).image.save(path, "PNG")
    except Exception as error:  # Pillow can raise nearly anything
        raise BadInputError(
            f"{file.source}: cannot be converted", found=str(error), next_step="run `cleaner scan --force IMAGES`"
        ) from error


def _hardlinked(source: Path, path: Path) -> bool:
    try:
        path.hardlink_to(source)
    except OSError as error:
        if error.errno in _NO_HARDLINK:
            return False
        raise
    return True
