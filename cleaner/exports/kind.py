"""What a kind of export declares, what it is asked for, and how it is found by its name or the suffix of OUT."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cleaner.errors import UsageError

if TYPE_CHECKING:
    from cleaner.exports.cleaned import Cleaned

Mode = Literal["hardlink", "symlink", "reflink", "copy"]
Repeats = Literal["column", "files", "ignore"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export. A kind heeds those that it names in `Kind.options`, and `verify`."""

    mode: Mode = "hardlink"
    """How images get into a folder: a file that cannot be linked is copied."""
    repeats: Repeats = "column"
    """`column`: repeats and weights stand beside each image; `files`: it is written so often; `ignore`: neither."""
    dropped: bool = False
    """Whether dropped images are written, too."""
    convert: bool = False
    """Whether images of formats that the reader does not know become PNG."""
    spreadsheet_safe: bool = False
    """See `write_table_file`."""
    shard_mb: int = 256
    """A shard ends with the image that makes it as large as this."""
    image_url: str = ""
    """What stands before a file_name in the address of an image; '': Label Studio's local files."""
    verify: bool = False
    """Whether every kept image is read and compared with its `image_id` first."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An export that is decided on, of which nothing is written yet."""

    write: Callable[[Path], int]
    """Writes it to an empty folder, or to a file that does not exist; returns how many files were copied because they
    could not be linked."""
    use: Callable[[Path], str]
    """The lines of Python that load it, given where it lies."""
    classes: list[str]
    """In the order of their numbers; in a folder the names of the class folders."""
    num_files: int
    """Kept images, each counted once."""
    num_repeats: int = 0
    """Additional files or rows for images that are repeated."""
    num_dropped: int = 0
    """Dropped images that are written as well."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of export."""

    name: str
    title: str
    """What it is and who reads it, in a few words."""
    prepare: Callable[[Cleaned, Path, ExportOptions], Prepared]
    """Decides what is written to OUT. Raises BadInputError if something is missing or changed."""
    options: frozenset[str] = frozenset()
    """The names of the `ExportOptions` that it heeds besides `verify`."""
    columns: tuple[str, ...] = ()
    """Columns of the manifest that it reads besides those that all read, where they exist."""
    suffixes: tuple[str, ...] = ()
    """With which of these the name of OUT ends; none: OUT is a folder."""
    is_told_by_suffix: bool = False
    """Whether a suffix alone says that this kind is meant."""

    @property
    def is_folder(self) -> bool:
        """Whether OUT is a folder."""
        return not self.suffixes

    def require(self, given: set[str], out: Path) -> None:
        """Raise UsageError if it has no use for one of the options `given` by name, or for the suffix of `out`."""
        useless = sorted(given - self.options - {"verify"})
        if useless:
            raise UsageError(
                f"--{useless[0].replace('_', '-')}: of no use with --to {self.name}", next_step="leave it out"
            )
        if self.suffixes and out.suffix.lower() not in self.suffixes:
            raise UsageError(
                f"{out}: --to {self.name} writes a file of another name",
                expected=f"a name that ends in {' or '.join(self.suffixes)}",
            )


def kind_names() -> tuple[str, ...]:
    """The names of all kinds; imports none of them."""
    from cleaner.exports import kinds

    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(kinds.__path__)))


def load_kind(name: str) -> Kind:
    """The kind of that name, one of `kind_names`."""
    kind: Kind = importlib.import_module(f"cleaner.exports.kinds.{name.replace('-', '_')}").KIND
    return kind


def find_kind(name: str | None, out: Path) -> Kind:
    """The kind called `name`; without a name that which the suffix of `out` tells, else a folder."""
    if name is not None:
        return load_kind(name)
    told = (kind for kind in map(load_kind, kind_names()) if kind.is_told_by_suffix)
    return next((kind for kind in told if out.suffix.lower() in kind.suffixes), load_kind("folder"))
