"""Labels that lie in the tree beside the images: `metadata.csv` as Hugging Face's imagefolder has it, and those inside
of shards and tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from cleaner.dataset.archives import SUFFIXES, open_archive, split_place
from cleaner.dataset.class_folders import SPLIT_NAMES, TRAIN
from cleaner.dataset.found_files import FoundFiles
from cleaner.dataset.label_lists import LabelList
from cleaner.dataset.names import matching_names
from cleaner.dataset.tables import read_table, refuse, with_rows
from cleaner.errors import BadInputError, first_few

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_HELP = {
    (".zip",): "unpack it: unzip FILE -d FOLDER",
    (
        ".tar.gz",
        ".tgz",
        ".tar.bz2",
        ".tar.xz",
        ".tar.zst",
    ): "unpack it, or make it a plain .tar, which is read in place",
    (".tfrecord", ".tfrecords"): "write the images into class folders, or as WebDataset shards (.tar)",
    (".mdb", ".lmdb", ".h5", ".hdf5", ".npz", ".npy", ".rec", ".beton", ".pkl", ".pickle"): "write the images into "
    "class folders, or as WebDataset shards (.tar)",
    (".dvc",): "fetch the images: dvc pull",
    (".parquet", ".arrow"): "give a table with a column of encoded images (`datasets.Image`), or the folder of images "
    "and --labels FILE",
    (".tar",): "give a tar of images with KEY.cls beside each KEY.jpg, on a local disk",
}


def read_metadata(found: FoundFiles, columns: Mapping[str, str]) -> LabelList | None:
    """The labels of every `metadata.csv`, `.jsonl` or `.parquet` in the tree, whose file names are relative to it.

    `columns` gives the names of the columns file, label and split where they differ. None where there is no such file
    with a column of labels. Raises BadInputError for an empty cell, or a name that leads out of the tree.
    """
    tables, read = [], []
    named_so = [row for row, name in enumerate(found.names()) if name.rpartition("/")[2] in _METADATA]
    for file in map(found.__getitem__, named_so):
        if file.fault:
            continue
        at = PurePosixPath(file.name)
        table = read_table(Path(file.path))
        named = {
            own: columns.get(key, own) for key, own in (("file", "file_name"), ("label", "label"), ("split", "split"))
        }
        if named["file_name"] not in table or named["label"] not in table:
            continue
        mine = pd.DataFrame({own: table[name] for own, name in named.items() if name in table})
        for name in ("file_name", "label"):
            refuse(Path(file.path), with_rows(mine.loc[mine[name] == "", name]), f"empty cells in the column {name}")
        names = mine["file_name"].map(lambda name, at=at: os.path.normpath(str(at.parent / name)))
        outside = mine.loc[names.str.startswith(("..", "/")), "file_name"]
        refuse(Path(file.path), with_rows(outside), "file names that lead out of the images root")
        tables.append(mine.assign(file_name=names))
        read.append(file.name)
    if not tables:
        return None
    table = pd.concat(tables, ignore_index=True)
    if table.isna().any(axis=None):  # only some of several have the column of splits
        table = table.drop(columns="split")
    table["file_name"] = matching_names(table["file_name"], set(found.names()))
    table = table.drop_duplicates()
    again = sorted(table.loc[table["file_name"].duplicated(), "file_name"])
    if again:
        raise BadInputError(
            f"{first_few(read)}: files are listed again, with other values",
            found=first_few(again),
            next_step="remove the second rows",
        )
    return LabelList(table.sort_values("file_name", kind="stable"), warnings=[f"labels are those of {first_few(read)}"])


def read_inside(found: FoundFiles, columns: Mapping[str, str]) -> LabelList | None:
    """The labels that shards and tables give the images inside of them; None where there are none.

    The split is that in the name of the file or of a folder above it (`train-00000-of-00002.parquet`), else train.
    Raises BadInputError for a file whose labels cannot be told, or an image without one.
    """
    labels: dict[str, str] = {}
    shards: dict[str, str] = {}
    leading_on = [row for row, name in enumerate(found.names()) if any(f"{kind}/" in name.lower() for kind in SUFFIXES)]
    inside = []
    for file in map(found.__getitem__, leading_on):
        place = split_place(file.path)
        if place is not None:
            shards.setdefault(place[0], file.name.removesuffix(place[1]).rstrip("/"))
            inside.append(file.name)
    for path, name in shards.items():
        said = open_archive(path).labels(columns.get("label", ""))
        labels |= {f"{name}/{member}": label for member, label in said.items()}
    if not shards:
        return None
    without = [name for name in inside if name not in labels]
    if without:
        raise BadInputError(
            f"{len(without):,} images inside of files have no label",
            expected="KEY.cls or KEY.json beside each image of a shard, a column of labels in a table",
            found=first_few(without),
            next_step="name the label's key or column (--columns label=NAME), or give a list with --labels FILE",
        )
    frame = pd.DataFrame({"file_name": inside, "label": [labels[name] for name in inside]}, dtype=object)
    frame["split"] = [split_of(name) for name in inside]
    return LabelList(frame)


def split_of(name: str) -> str:
    """The split that a shard's or table's name tells, or one of its folders'."""
    *folders, file, _ = name.split("/")
    for part in (file, *reversed(folders)):
        for word in re.split(r"[-_.]", part.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return TRAIN


def refuse_unreadable(root: Path, found: FoundFiles) -> None:
    """Raise BadInputError if the files are of a kind that holds images and is not read; for a tree without images."""
    for suffixes, advice in _HELP.items():
        mine = [name for name in found.names() if name.lower().endswith(suffixes)]
        if mine:
            raise BadInputError(
                f"{root}: no images that can be read",
                expected="class folders of images, WebDataset shards (.tar), or Parquet or Arrow files with images",
                found=first_few(mine),
                next_step=advice,
            )


def about_links(found: FoundFiles) -> list[str]:
    """What to do about links into stores whose contents are not there."""
    words = {".git/annex/": "git annex get .", ".dvc/cache": "dvc pull"}
    absent: dict[str, list[str]] = {}
    for file in found.faulty.values():
        if file.fault == "missing" and os.path.islink(file.path):  # noqa: PTH114
            target = os.readlink(file.path)  # noqa: PTH115
            for store, command in words.items():
                if store in target:
                    absent.setdefault(command, []).append(file.name)
    return [
        f"{len(names):,} files are not fetched yet: `{command}` fetches them ({first_few(names)})"
        for command, names in absent.items()
    ]
