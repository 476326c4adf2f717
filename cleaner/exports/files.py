"""The files of an export: all of them are written or none, images linked or copied."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cleaner.dataset.archives import split_place
from cleaner.dataset.locations import read_bytes
from cleaner.dataset.pixels import read_picture, sniff_format
from cleaner.dataset.store import digest_of, require_digest, sha256_file
from cleaner.errors import BadInputError, CleanerError, WorkspaceLockedError
from cleaner.exports.kind import Mode
from cleaner.system_errors import explain_failure

# errors of file systems and devices on which a hard link, or a copy that shares its blocks, is not possible
_NO_LINK = {errno.EXDEV, errno.ENOTDIR, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
_NO_REFLINK = _NO_LINK | {errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP, errno.EBADF}
_FICLONE = 0x40049409  # Linux: let a file share the blocks of another until one of them is changed


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
def new_place(out: Path, *, is_folder: bool) -> Iterator[Path]:
    """A new folder, or the path of a file with the suffix of `out`, that becomes `out` when the block succeeds.

    Otherwise it is removed. The folder that holds it meanwhile is called after `out` alone, so that the next export
    there removes what a killed one left. Raises CleanerError if it cannot be written, WorkspaceLockedError while
    another process writes it.
    """
    temporary = out.parent / f".cleaner-export-{digest_of(out.name)[:12]}.tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)  # not tempfile's, which are private whatever the umask says
        try:
            with _owned(temporary, out):
                for left in temporary.iterdir():
                    shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
                place = temporary if is_folder else temporary / f"export{out.suffix}"
                yield place
                place.rename(out)
                if not is_folder:
                    temporary.rmdir()
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
    """Put one image below `root` under all its names; returns how many were copied because no link was possible.

    Raises BadInputError if what is copied has other bytes than what was scanned.
    """
    num_copied, source = 0, file.source
    for target in (file.target, *file.repeats):
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.as_png and source is file.source:
            _write_png(file, path)
            source = path  # what repeats are linked to
        elif mode == "symlink" and not file.as_png and split_place(source) is None:
            path.symlink_to(source)
        elif not _linked(source, path, mode):
            _copy(source, path)
            if source is file.source and file.image_id:
                require_digest(source, sha256_file(path), file.image_id)
            num_copied += mode != "copy"
    return num_copied


def _copy(source: Path, path: Path) -> None:
    """Copy an image file, or one that lies inside another file."""
    try:
        shutil.copy2(source, path)
    except NotADirectoryError:
        path.write_bytes(read_bytes(source))


def read_image_bytes(file: ExportedFile) -> bytes:
    """The bytes of an image as they are exported: its own, or those of a PNG.

    Raises BadInputError if the image has other bytes than what was scanned, or cannot be converted.
    """
    data = read_bytes(file.source)
    if file.image_id:
        require_digest(file.source, hashlib.sha256(data).hexdigest(), file.image_id)
    return _to_png(file, data) if file.as_png else data


def _write_png(file: ExportedFile, path: Path) -> None:
    path.write_bytes(read_image_bytes(file))


def _to_png(file: ExportedFile, data: bytes) -> bytes:
    """An image as scan sees it, upright and its first frame, as PNG."""
    png = io.BytesIO()
    try:
        read_picture(data, sniff_format(data[:4096])).image.save(png, "PNG")
    except Exception as error:  # Pillow can raise nearly anything
        raise BadInputError(
            f"{file.source}: cannot be converted", found=str(error), next_step="run `cleaner scan --force IMAGES`"
        ) from error
    return png.getvalue()


def _linked(source: Path, path: Path, mode: Mode) -> bool:
    """Make `path` share the content of `source` without a copy, if `mode` asks for that and it is possible."""
    try:
        if mode == "reflink":
            _reflink(source, path)
        elif mode != "copy":
            path.hardlink_to(source)
        return mode != "copy"
    except OSError as error:
        if error.errno in (_NO_REFLINK if mode == "reflink" else _NO_LINK):
            return False
        raise


def _reflink(source: Path, path: Path) -> None:
    try:
        with source.open("rb") as old, path.open("xb") as new:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        shutil.copystat(source, path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
