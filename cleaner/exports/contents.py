"""The image files behind the rows of an export: where they lie, and that they are those that were scanned."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import pandas as pd

from cleaner.dataset.locations import file_size, read_bytes
from cleaner.dataset.names import image_path
from cleaner.errors import BadInputError, first_few
from cleaner.progress import Progress


def leads_out(name: str) -> bool:
    """Whether a file_name leads out of the images root."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def find_sources(kept: pd.DataFrame, images_root: Path) -> list[Path]:
    """The real file of every row. Raises BadInputError if any is missing, has another size or leads out of the root."""
    sources, wrong = [], []
    for name, expected in zip(kept["file_name"], kept["file_bytes"], strict=True):
        if leads_out(name):
            raise BadInputError(f"file_name {name!r} leads out of {images_root}")
        source = image_path(images_root, name)
        try:
            size = file_size(source)
        except OSError as error:
            wrong.append(f"{name} ({error.strerror})")
            continue
        if size != expected:
            wrong.append(f"{name} ({size} bytes instead of {expected})")
        sources.append(source.resolve())
    if wrong:
        raise BadInputError(
            f"{images_root}: {len(wrong)} images have changed since the scan",
            found=first_few(wrong),
            next_step="run `cleaner scan IMAGES` and the stages after it again",
        )
    return sources


def require_contents(rows: pd.DataFrame, images_root: Path, progress: Progress) -> None:
    """Read the images of `rows` (file_name, image_id), and raise BadInputError for those that are not as scanned."""
    wrong = []
    with progress.task("verify", len(rows)) as task:
        for name, image_id in zip(rows["file_name"], rows["image_id"], strict=True):
            try:
                found = hashlib.sha256(read_bytes(image_path(images_root, name))).hexdigest()
            except OSError as error:
                wrong.append(f"{name} ({error.strerror or error})")
            else:
                wrong += [name] * (found != image_id)
            task.advance()
    if wrong:
        raise BadInputError(
            f"{images_root}: {len(wrong):,} images are not as they were scanned",
            found=first_few(wrong),
            next_step="run `cleaner scan --force IMAGES`, then the stages after it",
        )
