"""Safe files: atomic writes, digests, locks, and results that survive a kill."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import itertools
import json
import mmap
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from cleaner.dataset.locations import is_remote, open_regular
from cleaner.errors import BadInputError, CleanerError, WorkspaceLockedError
from cleaner.reading import reading
from cleaner.system_errors import explain_failure, unwritable

if TYPE_CHECKING:
    import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]
_NAME = "stored_as"
_DIGEST_BYTES = 32
_MAPPED_BYTES = 1 << 26
"""Larger files of arrays are mapped, not read."""
_PIECE_ITEMS = 10_000


@contextmanager
def atomic_writer(path: Path, *, lasting: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to, which replaces `path` if the block succeeds, and is removed otherwise.

    Unless `lasting`, the system may write it to disk later, so that it may be damaged if the machine fails. Raises
    CleanerError, naming `path`, if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
        try:
            with temporary.open("xb") as file:  # not tempfile's, which are private whatever the umask says
                yield file
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(error, path) from error


def write_atomic(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write `data` to `path`, whole or not at all (see `atomic_writer`). Stores behind URLs are atomic themselves."""
    if is_remote(path):
        path.write_bytes(data)
        return
    with atomic_writer(path, lasting=lasting) as file:
        file.write(data)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document to `path`, whole or not at all; keys keep their order."""
    write_atomic(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def utc_now(timespec: str = "milliseconds") -> str:
    """The time now, as ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=timespec)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of the bytes of a regular file, or of one behind a URL, read in chunks."""
    with path.open("rb") if is_remote(path) else open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(path: str | Path, found: str, image_id: str) -> None:
    """Raise BadInputError, naming the image, unless `found`, the hex SHA-256 of its bytes, is its `image_id`."""
    if found != image_id:
        raise BadInputError(
            f"{path}: its content has changed since the scan",
            expected=f"SHA-256 {image_id[:12]}…",
            found=f"{found[:12]}…",
            next_step="run `cleaner scan --force IMAGES`, then the stages after it",
        )


def digest_of(*parts: Any) -> str:
    """Hex SHA-256 of JSON-like values; arrays count by their bytes, type and shape."""
    digest = hashlib.sha256()
    for part in parts:
        if hasattr(part, "dtype"):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(part.tobytes())
        elif isinstance(part, bytes):
            digest.update(part)
        else:
            digest.update(_as_json(part))
        digest.update(b"\x00")
    return digest.hexdigest()


def digest_of_list(items: Iterable[Any]) -> str:
    """What `digest_of` makes of a list of these JSON-like values, of which only a few are held at a time."""
    digest, rest, mark = hashlib.sha256(b"["), iter(items), b""
    while piece := list(itertools.islice(rest, _PIECE_ITEMS)):
        digest.update(mark + _as_json(piece)[1:-1])
        mark = b", "
    digest.update(b"]\x00")
    return digest.hexdigest()


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` as a lock for the block; the kernel releases it when the process ends, however it ends.

    Raises WorkspaceLockedError if another process holds it, CleanerError if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise explain_failure(error, path) or CleanerError(f"{path}: cannot be written", found=str(error)) from error
    with file:
        _take(file, fcntl.LOCK_EX, path)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Keep out, for the block, whoever takes `path` as an exclusive lock.

    Nothing is written, so that it works where nothing can be; without the file nobody has ever taken it. Raises
    WorkspaceLockedError if another process holds the exclusive lock.
    """
    try:
        file = path.open()
    except OSError:
        yield
        return
    with file:
        _take(file, fcntl.LOCK_SH, path)
        yield


def _take(file: IO[str], how: int, path: Path) -> None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise WorkspaceLockedError(
            f"{path.parent}: another cleaner is working in this workspace",
            found=f"process {holder} holds {path.name}, or one that exports from it",
            next_step="wait until it ends, or use another workspace with -C DIR",
        ) from error


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Wait for `path` as a lock and hold it for the block; no lock is held if the file system has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def clear_folder(path: Path) -> None:
    """Remove a folder and everything in it, if it exists; it may be behind a URL."""
    if is_remote(path):
        remote = cast(Any, path)
        with contextlib.suppress(FileNotFoundError):
            remote.fs.rm(remote.path, recursive=True)
        return
    shutil.rmtree(path, ignore_errors=True)


class ArrayStore:
    """Named sets of arrays on disk, each written atomically and checked when read; a damaged one counts as absent.

    Layout: `<root>/<key>.arrays`, 32 bytes of SHA-256 followed by safetensors data, whose metadata name the file.
    """

    def __init__(self, root: Path, check: Callable[[Arrays], None] | None = None) -> None:
        """`check` raises an error for arrays that nobody would have stored here: they count as damaged."""
        self.root, self.check = root, check

    def path(self, key: str) -> Path:
        """The file of the set `key`."""
        return self.root / f"{key}.arrays"

    def get(self, key: str) -> Arrays | None:
        """The arrays stored under `key`, or None if there are none or they are damaged."""
        from cleaner.dataset.tensor_files import read_tensors  # loads numpy, which most users of this module do without

        path = self.path(key)
        try:
            with reading(path, "file of arrays", f"delete {self.root}"):
                data = map_file(path)
                if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
                    raise ValueError("its digest is another")
                arrays: Arrays
                arrays, about = read_tensors(data[_DIGEST_BYTES:])
                if about.get(_NAME, "") not in ("", self._name(key)):  # older versions gave no name
                    raise ValueError("it was stored under another name")
                if self.check is not None:
                    self.check(arrays)
        except BadInputError:
            return None
        return arrays

    def put(self, key: str, arrays: Arrays) -> None:
        """Store `arrays` under `key`, whole or not at all; no second copy of them is made in memory."""
        from cleaner.dataset.tensor_files import tensor_bytes

        path, digest = self.path(key), hashlib.sha256()  # tells whether a failure of the machine damaged it
        pieces = tensor_bytes(arrays, {_NAME: self._name(key)})
        if is_remote(path):
            data = b"".join(pieces)
            path.write_bytes(hashlib.sha256(data).digest() + data)
            return
        with atomic_writer(path, lasting=False) as file:
            file.write(bytes(_DIGEST_BYTES))
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
            file.seek(0)
            file.write(digest.digest())

    def _name(self, key: str) -> str:
        return f"{self.root.name}/{key}"

    def remember(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays stored under `key`, else those that `compute` returns, which are stored first."""
        arrays = self.get(key)
        return arrays if arrays is not None else self._keep(key, compute())

    def resume(self, key: str, compute: Callable[[Path], Arrays]) -> Arrays:
        """As `remember`, for long work: `compute` gets a folder for checkpoints, removed once the result is stored."""
        arrays = self.get(key)
        if arrays is None:
            unfinished = self.root / "unfinished"
            arrays = self._keep(key, compute(unfinished / key))
            clear_folder(unfinished)  # along with checkpoints of abandoned work
        return arrays

    def _keep(self, key: str, arrays: Arrays) -> Arrays:
        """Store arrays; large ones are returned as those of the file, so that they take no memory of this process."""
        self.put(key, arrays)
        if sum(array.nbytes for array in arrays.values()) <= _MAPPED_BYTES:
            return arrays
        return self.get(key) or arrays

    def stored_keys(self) -> list[str]:
        """All keys, sorted."""
        return sorted(p.stem for p in self.root.glob("*.arrays")) if self.root.is_dir() else []


def map_file(path: Path) -> memoryview:
    """The bytes of a file; those of a large local one are its pages, of which a process copies what it writes to."""
    if is_remote(path):
        return memoryview(bytearray(path.read_bytes()))
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= _MAPPED_BYTES:
            return memoryview(bytearray(file.read()))
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
