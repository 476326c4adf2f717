"""Images under numbers, for readers to which a name means nothing: no name can be too long, taken or hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import pandas as pd

from cleaner.dataset.locations import is_remote
from cleaner.dataset.names import image_path
from cleaner.errors import BadInputError
from cleaner.exports.contents import find_sources, leads_out
from cleaner.exports.files import ExportedFile
from cleaner.exports.names import extension_of


def key_of(number: int) -> str:
    """The name of an image by its place in the export, from 0."""
    return f"{number:09d}"


def number_files(
    rows: pd.DataFrame, images_root: Path, *, reads: Collection[str], convert: bool, reader: str
) -> list[ExportedFile]:
    """A file for each of `rows`, called by its place among them, with the extension of its format.

    `reads`: the formats that `reader` knows; with `convert` others become PNG. Raises BadInputError if there are others
    without it, or if an image is missing or has another size.
    """
    formats = rows["format"].tolist()
    strange = Counter(name or "unknown" for name in formats if name not in reads)
    if strange and not convert:
        raise BadInputError(
            f"{strange.total():,} images are of a format that {reader} does not read",
            expected=", ".join(reads),
            found=", ".join(f"{name} {num:,}" for name, num in sorted(strange.items())),
            next_step="add --convert, which writes those as PNG",
        )
    files = []
    columns = (find_places(rows, images_root), formats, rows["image_id"])
    for number, (source, image_format, image_id) in enumerate(zip(*columns, strict=True)):
        as_png = image_format not in reads
        name = key_of(number) + (".png" if as_png else extension_of(image_format))
        files.append(ExportedFile(source, PurePosixPath(name), as_png=as_png, image_id=image_id))
    return files


def find_places(rows: pd.DataFrame, images_root: Path) -> list[Path]:
    """As `find_sources`; behind a URL, where each file would cost a request, whatever their size."""
    if not is_remote(images_root):
        return find_sources(rows, images_root)
    wrong = [name for name in rows["file_name"] if leads_out(name)]
    if wrong:
        raise BadInputError(f"file_name {wrong[0]!r} leads out of {images_root}")
    return [image_path(images_root, name) for name in rows["file_name"]]
