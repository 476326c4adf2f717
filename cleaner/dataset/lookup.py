"""Finds the images that a person names, by file name, by path, or by the first digits of an image_id."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow.compute as pc

from cleaner.dataset.manifest import read_matching
from cleaner.dataset.names import read_name, to_file_name
from cleaner.errors import BadInputError, first_few

_DIGITS = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class FoundImage:
    """A file of the manifest."""

    file_name: str
    image_id: str
    label: str


def find_images(manifest: Path, images_root: Path, asked: list[str]) -> list[FoundImage]:
    """The file that each of `asked` names, in their order. Reads three columns, and only matching rows of them.

    A name is tried as `file_name` of the manifest, as a path (absolute, or from the current directory) below
    `images_root`, and as the first six or more digits of an image_id, which stands for the image's first file.
    Raises BadInputError for a name that matches no file, or several images.
    """
    names = {text: _candidates(text, images_root) for text in asked}
    condition = pc.field("file_name").isin(sorted({c for these in names.values() for c in these}))
    for text in asked:
        if _DIGITS.fullmatch(text):
            condition = condition | pc.starts_with(pc.field("image_id"), pattern=text)
    rows = read_matching(manifest, ["file_name", "image_id", "label"], condition)
    return [_pick(text, names[text], rows, manifest) for text in asked]


def _candidates(text: str, images_root: Path) -> list[str]:
    paths = [text]
    root = os.path.realpath(images_root)
    folder, name = os.path.split(os.path.abspath(text))  # noqa: PTH100 - a link is a row of its own: not resolved
    path = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118
    if path.startswith(root + os.sep):
        paths.append(os.path.relpath(path, root))
    names = [read_name(str(PurePosixPath(p))) for p in paths]
    forms = [unicodedata.normalize(form, name) for name in names for form in ("NFC", "NFD")]
    written = [*names, *map(to_file_name, [*names, *forms])]  # what was typed may be a path, or stand in the manifest
    return [name for name in written if not any("\ud800" <= char <= "\udfff" for char in name)]


def _pick(text: str, names: list[str], rows: pd.DataFrame, manifest: Path) -> FoundImage:
    hit = rows[rows["file_name"].isin(names)]
    if hit.empty and _DIGITS.fullmatch(text):
        hit = rows[rows["image_id"].str.startswith(text)]
        ids = hit["image_id"].unique().tolist()
        if len(ids) > 1:
            raise BadInputError(
                f"{text}: the first digits of {len(ids)} images",
                found=first_few([i[: len(text) + 4] + "…" for i in ids]),
                next_step="give more digits",
            )
    if hit.empty:
        raise BadInputError(
            f"{text}: not in {manifest}",
            expected="a file_name of the manifest, a path below the images root, or 6 or more digits of an image_id",
            found=_alike(text, manifest),
            next_step="check the name; new files need another `cleaner scan IMAGES`",
        )
    row = hit.iloc[0]
    return FoundImage(row["file_name"], row["image_id"], row["label"])


def _alike(text: str, manifest: Path) -> str:
    """Files of the same name in other folders, for a message."""
    name = re.escape(PurePosixPath(text).name)
    rows = read_matching(manifest, ["file_name"], pc.match_substring_regex(pc.field("file_name"), f"(^|/){name}$"))
    return first_few(rows["file_name"].tolist())
