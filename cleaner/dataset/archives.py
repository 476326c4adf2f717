"""Images inside files, read in place: WebDataset shards (tar), and Parquet or Arrow files of Hugging Face datasets.

An image in `train/shard.tar` is called `train/shard.tar/key.jpg`, one of a table `train.parquet/0017`, by its row.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from cleaner.errors import BadInputError, first_few

if TYPE_CHECKING:
    import pyarrow as pa

TAR, TABLES = ".tar", (".parquet", ".arrow")
SUFFIXES = (TAR, *TABLES)
_IMAGES = frozenset({"jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "avif", "heic", "ppm", "pgm", "pbm"})
_LABEL_TEXT = ("cls", "label")
_LABEL_KEYS = ("label", "class", "cls", "class_name")
_OPEN_FILES = 32


@dataclass(frozen=True)
class Member:
    """One image in a file."""

    name: str
    """In that file: a path in a tar, the row of a table, with zeros in front so that names are in the rows' order."""
    size: int
    """Bytes; 0 where that takes reading the image."""


class Archive(Protocol):
    """A file that holds images."""

    members: list[Member]

    def read(self, name: str) -> bytes:
        """The bytes of an image. Raises OSError if there is none of this name."""

    def labels(self, column: str) -> dict[str, str]:
        """The labels of images by name, for those that have one; `column` ('': found out) is the table's or that of
        the JSON beside each image. Raises BadInputError if it cannot be told what the label is.
        """


def split_place(place: str | Path) -> tuple[str, str] | None:
    """The file that holds an image, and the image's name in it, if `place` leads through such a file."""
    text = os.fspath(place)
    for found in re.finditer(r"\.(?:tar|parquet|arrow)/", text, re.IGNORECASE):
        path = text[: found.end() - 1]
        if os.path.isfile(path):  # noqa: PTH113 - asked for each image
            return path, text[found.end() :]
    return None


def is_archive_name(name: str) -> bool:
    """Whether a file of this name may hold images."""
    return name.lower().endswith(SUFFIXES)


def open_member(place: str | Path) -> io.BytesIO:
    """An image inside a file, as a file of its own. Raises OSError if there is none."""
    found = split_place(place)
    if found is None:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    try:
        return io.BytesIO(open_archive(found[0]).read(found[1]))
    except ValueError as error:  # it is damaged, or no longer what it was
        raise OSError(errno.EIO, str(error), str(place)) from error


def open_archive(path: str | Path) -> Archive:
    """A file that holds images; kept open for the next one. Raises OSError or ValueError if it holds none."""
    status = Path(path).stat()
    return _open(os.fspath(path), status.st_size, status.st_mtime_ns, os.getpid())


@lru_cache(maxsize=_OPEN_FILES)
def _open(path: str, size: int, mtime_ns: int, process: int) -> Archive:
    return Tar(path) if path.lower().endswith(TAR) else Table(path)


class Tar:
    """A tar file as WebDataset writes them: files of one name but for what follows the first dot belong together."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for one in tar:
                    if one.isreg():
                        self._places.setdefault(one.name.removeprefix("./"), (one.offset_data, one.size))
        except tarfile.TarError as error:
            raise ValueError(f"{path}: not a tar file, or a compressed one") from error
        self.members = [Member(name, size) for name, (_, size) in self._places.items() if _kind(name)[1] in _IMAGES]

    def read(self, name: str) -> bytes:
        """See Archive.read."""
        if name not in self._places:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self._path}/{name}")
        start, size = self._places[name]
        with open(self._path, "rb") as file:  # noqa: PTH123 - by any thread
            file.seek(start)
            return file.read(size)

    def labels(self, column: str) -> dict[str, str]:
        """See Archive.labels: from KEY.cls, KEY.label or the JSON beside each image, else its folder in the tar."""
        said = {}
        for name in self._places:
            key, kind = _kind(name)
            if kind in _LABEL_TEXT and not column:
                said[key] = self.read(name).decode("utf-8", "replace").strip()
            elif kind == "json" and key not in said and (label := self._from_json(name, column)):
                said[key] = label
        keys = {member.name: _kind(member.name)[0] for member in self.members}
        if not said and all("/" in name for name in keys):
            return {name: PurePosixPath(name).parts[0] for name in keys}
        return {name: said[key] for name, key in keys.items() if said.get(key)}

    def _from_json(self, name: str, column: str) -> str:
        try:
            document = json.loads(self.read(name))
        except ValueError:
            return ""
        if not isinstance(document, dict):
            return ""
        value = next((document[key] for key in ([column] if column else _LABEL_KEYS) if key in document), "")
        return str(value) if isinstance(value, str | int) else ""


def _kind(name: str) -> tuple[str, str]:
    """A member's key and the rest of its name in lower case: `a/007` and `jpg` of `a/007.jpg`."""
    folder, slash, last = name.rpartition("/")
    key, _, kind = last.partition(".")
    return f"{folder}{slash}{key}", kind.lower().rpartition(".")[2]


class Table:
    """A Parquet or Arrow file with a column of encoded images, as Hugging Face's `datasets` writes it."""

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()
        self._rows = _ParquetRows(path) if path.lower().endswith(".parquet") else _ArrowRows(path)
        self._features = _features(self._rows.schema)
        self._image = _image_column(self._rows.schema, self._features)
        if not self._image:
            raise ValueError(f"{path}: no column of images")
        width = len(str(max(0, self._rows.num - 1)))
        self.members = [Member(f"{row:0{width}d}", 0) for row in range(self._rows.num)]

    def read(self, name: str) -> bytes:
        """See Archive.read."""
        if not (name.isascii() and name.isdigit()) or int(name) >= self._rows.num:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self._path}/{name}")
        with self._lock:
            value = self._rows.value(self._image, int(name))
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise FileNotFoundError(errno.ENOENT, "the row holds a path, and no image", f"{self._path}/{name}")
        return value

    def labels(self, column: str) -> dict[str, str]:
        """See Archive.labels: names of classes are those of the features."""
        chosen = column or self._label_column()
        if chosen not in self._rows.schema.names:
            raise BadInputError(
                f"{self._path}: no column {chosen!r}",
                found=first_few(list(self._rows.schema.names)),
                next_step="name the column of labels: --columns label=NAME",
            )
        names = _class_names(self._features.get(chosen, {}))
        values = self._rows.column(chosen)
        texts = [
            "" if v is None or v == -1 else names[v] if names and isinstance(v, int) and v < len(names) else str(v)
            for v in values
        ]
        return {member.name: text for member, text in zip(self.members, texts, strict=True) if text}

    def _label_column(self) -> str:
        classes = [name for name, feature in self._features.items() if _class_names(feature)]
        likely = [name for name in self._rows.schema.names if name in ("label", "labels", "class", "class_name")]
        for found in (classes, likely):
            if len(found) == 1 or (found and "label" in found):
                return "label" if "label" in found else found[0]
        raise BadInputError(
            f"{self._path}: which column is the label?",
            found=first_few([name for name in self._rows.schema.names if name != self._image]) or "no other column",
            next_step="name it: --columns label=NAME, or give a list with --labels FILE",
        )


class _ParquetRows:
    """Rows of a Parquet file; one row group of one column is held."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        self.schema, self.num = self._file.schema_arrow, self._file.metadata.num_rows
        self._starts = [0]
        for group in range(self._file.metadata.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._held: tuple[int, Any] = (-1, None)

    def value(self, column: str, row: int) -> Any:
        group = next(g for g, end in enumerate(self._starts[1:]) if row < end)
        if self._held[0] != group:
            self._held = group, self._file.read_row_group(group, columns=[column], use_threads=False).column(0)
        return self._held[1][row - self._starts[group]].as_py()

    def column(self, name: str) -> list[Any]:
        return list(self._file.read(columns=[name], use_threads=False).column(0).to_pylist())


class _ArrowRows:
    """Rows of an Arrow stream or file, mapped into memory."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa

        source = pa.memory_map(path)
        try:
            self._table = pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            self._table = pa.ipc.open_file(source).read_all()
        self.schema, self.num = self._table.schema, self._table.num_rows

    def value(self, column: str, row: int) -> Any:
        return self._table.column(column)[row].as_py()

    def column(self, name: str) -> list[Any]:
        return list(self._table.column(name).to_pylist())


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """The features that `datasets` wrote beside a schema."""
    try:
        document = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return dict(document.get("info", {}).get("features", {}))
    except (ValueError, AttributeError, TypeError):
        return {}


def _image_column(schema: pa.Schema, features: Mapping[str, Any]) -> str:
    """The first column of encoded images; '' if there is none."""
    import pyarrow as pa

    named = [
        name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == "Image"
    ]
    for name in named:
        if name in schema.names:
            return name
    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind) and {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}:
            return str(field.name)
        if (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) and field.name.lower() in {
            "image",
            "img",
            "jpg",
        }:
            return str(field.name)
    return ""


def _class_names(feature: Any) -> list[str]:
    known = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    return [str(name) for name in feature.get("names", [])] if known else []


def members_of(path: str) -> Iterator[Member]:
    """The images that a file holds; none where it holds none, or cannot be read."""
    try:
        yield from open_archive(path).members
    except (OSError, ValueError):  # Arrow's errors are ValueErrors
        return
