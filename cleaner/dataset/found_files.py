"""Files below the images root, held in few bytes each: ten million of them take about half a gigabyte."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from cleaner.dataset.store import digest_of_list

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file below the root, or a folder or link that could not be followed."""

    name: str
    """POSIX path relative to the root, as `cleaner.dataset.names` writes it."""
    path: str
    """What to open: unlike `name`, exactly as the file system has it (surrogates for undecodable bytes); or a URL."""
    size: int
    """Bytes; 0 where not known."""
    mtime_ns: int
    """Time of the last change, nanoseconds since 1970; 0 where not known."""
    fault: str = ""
    """`outside_root`, `missing`, `unreadable`, `bad_name`, or '' for a regular file with a sound name."""
    is_folder: bool = False
    """True for a folder that cannot be listed, and for a refused link to a folder."""


class FoundFiles(Sequence[FoundFile]):
    """Files in their order, held as columns; each is made anew when it is asked for.

    The path of most is the root's and their name; whatever is not so plain is kept as it is.
    """

    def __init__(self, root: str, files: Iterable[FoundFile] = ()) -> None:
        """`root` is the path of the images root, or its URL."""
        self._root = root
        self._base = root.rstrip("/") + "/"
        self._names = bytearray()
        self._ends = array("q", [0])
        self._sizes, self._times = array("q"), array("q")
        self._odd: dict[int, FoundFile] = {}
        for file in files:
            self.append(file)

    def append(self, file: FoundFile) -> None:
        """Add one at the end."""
        if file.fault or file.is_folder or file.path != self._base + file.name:
            self._odd[len(self)] = file
        self._names += file.name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._names))
        self._sizes.append(file.size)
        self._times.append(file.mtime_ns)

    def folders(self) -> Iterator[str]:
        """The folder of each, relative to the root, '' for the root; of a folder itself, its own name."""
        for row, name in enumerate(self.names()):
            is_folder = row in self._odd and self._odd[row].is_folder
            yield name if is_folder else name.rpartition("/")[0]

    def take(self, rows: Iterable[int]) -> FoundFiles:
        """Those of `rows`, in their order."""
        return FoundFiles(self._root, map(self.__getitem__, rows))

    def names(self) -> Iterator[str]:
        """The name of each."""
        return map(self._name, range(len(self)))

    def rows_of(self, names: Sequence[str]) -> Iterator[int | None]:
        """The row of each of `names`, which are in order as the files must be; None where there is none."""
        row = 0
        for name in names:
            while row < len(self) and self._name(row) < name:
                row += 1
            yield row if row < len(self) and self._name(row) == name else None

    @property
    def faulty(self) -> dict[int, FoundFile]:
        """The files with a fault, by row."""
        return {row: file for row, file in self._odd.items() if file.fault}

    @property
    def sound(self) -> Array:
        """(N,) bool: without a fault."""
        sound = np.ones(len(self), dtype=bool)
        sound[list(self.faulty)] = False
        return sound

    @property
    def sizes(self) -> Array:
        """(N,) int64, bytes. A view: none can be added while it is held."""
        return np.frombuffer(self._sizes, dtype=np.int64)

    def is_ordered(self) -> bool:
        """Whether each name comes after the one before it."""
        before = ""
        for name in self.names():
            if name <= before:
                return False
            before = name
        return True

    def digest(self) -> str:
        """Hex digest of names, sizes and times: it changes whenever a file does."""
        return digest_of_list(map(list, zip(self.names(), self._sizes, self._times, strict=True)))

    def name_array(self) -> pa.LargeStringArray:
        """The names as Arrow has them, without copying them."""
        import pyarrow as pa  # slow to load, and the workers do without

        return pa.LargeStringArray.from_buffers(len(self), pa.py_buffer(self._ends), pa.py_buffer(self._names))

    def __iter__(self) -> Iterator[FoundFile]:
        return map(self._at, range(len(self)))

    def _name(self, row: int) -> str:
        return self._names[self._ends[row] : self._ends[row + 1]].decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, row: int) -> FoundFile: ...
    @overload
    def __getitem__(self, row: slice) -> FoundFiles: ...
    def __getitem__(self, row: int | slice) -> FoundFile | FoundFiles:
        if isinstance(row, slice):
            return self.take(range(*row.indices(len(self))))
        return self._at(range(len(self))[row])

    def _at(self, row: int) -> FoundFile:
        if row in self._odd:
            return self._odd[row]
        name = self._name(row)
        return FoundFile(name, self._base + name, self._sizes[row], self._times[row])
