"""Labels and splits from the folders of an image tree."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import takewhile
from pathlib import PurePosixPath

from cleaner.dataset.files import is_image_name
from cleaner.dataset.found_files import FoundFile, FoundFiles
from cleaner.dataset.locations import read_head
from cleaner.dataset.pixels import sniff_format
from cleaner.dataset.words import Words
from cleaner.errors import UsageError, first_few

TRAIN = "train"
SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The split that a folder of the root is, by its name in lower case."""
_DOCUMENTS = ("", "PDF", "EPS", "SVG")
_Folder = tuple[str, ...]


@dataclass(frozen=True)
class FolderLabels:
    """What the folders of a tree say of its files."""

    files: FoundFiles
    """The files but those in folders passed over, in their order."""
    labels: Words
    """Of each of `files`; '' for one in no class folder."""
    splits: Words
    """Of each of `files`."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """Folders of the root that belong to no split, and the number of files in each."""
    warnings: list[str] = field(default_factory=list)
    """What is odd about the tree, with the option that helps."""


def read_folders(files: FoundFiles, label_from: str, splits: Sequence[tuple[str, str]] = ()) -> FolderLabels:
    """The labels and the splits of `files` by their folders.

    `label_from` is `root` (the first folder below the images root) or `parent` (the file's own folder). `splits` names
    splits and their folders, relative to the root; what lies in none of them is passed over. Without it, the folders of
    the root are the splits if all of them that hold images are named like splits, and those without images beside them
    are passed over; otherwise every file is of split `train`. Labels begin below a split's folder. A file in the root
    itself is of split `train`, without a label.

    Raises UsageError if a folder of `splits` holds no files.
    """
    warnings: list[str] = []
    roots = _given_splits(files, splits) if splits else _named_splits(files, warnings)
    labels, splits_of, taken = Words(), Words(), array("q")
    aside: Counter[str] = Counter()
    images: set[_Folder] = set()
    faulty, split_folder = files.faulty, lru_cache(1 << 16)(partial(_split_folder, roots))
    for row, folder in enumerate(files.folders()):
        root, inner = split_folder(folder)
        if root is None and inner:
            aside[inner[0]] += 1
            continue
        taken.append(row)
        labels.append("" if not inner else inner[0] if label_from == "root" else inner[-1])
        splits_of.append(TRAIN if root is None else roots[root])
        if inner and row not in faulty:
            images.add(inner)
    passed_over = dict(sorted(aside.items()))
    if aside:
        named = first_few([f"{name}/ ({num:,} files)" for name, num in passed_over.items()])
        warnings.append(f"folders that belong to no split are passed over: {named}")
    if label_from == "root":
        warnings += _about_depth(images)
    return FolderLabels(files.take(taken) if aside else files, labels, splits_of, passed_over, warnings)


def read_splits(files: FoundFiles, splits: Sequence[tuple[str, str]] = ()) -> Words:
    """The splits of `files` by their folders, as `read_folders` finds them; `train` for a file in none of them."""
    roots = _given_splits(files, splits) if splits else _named_splits(files, [])
    split_folder = lru_cache(1 << 16)(partial(_split_folder, roots))
    found = (split_folder(folder)[0] for folder in files.folders())
    return Words(TRAIN if root is None else roots[root] for root in found)


def _given_splits(files: FoundFiles, splits: Sequence[tuple[str, str]]) -> dict[_Folder, str]:
    """The split of each folder that was named by hand."""
    roots = {PurePosixPath(folder).parts: name for name, folder in splits}
    there = {parts[:depth] for parts in map(_parts, set(files.folders())) for depth in range(len(parts) + 1)}
    for folder, name in roots.items():
        if folder not in there:
            raise UsageError(
                f"--splits {name}={'/'.join(folder)}: no files in this folder",
                expected="a folder below the images root",
                found=first_few(sorted({folders[0] for folders in there if folders})) or "no folders",
            )
    return roots


def _named_splits(files: FoundFiles, warnings: list[str]) -> dict[_Folder, str]:
    """The splits that the names of the root's folders tell; `train` for the root itself where they tell none."""
    tops = dict.fromkeys(folder.partition("/")[0] for folder in dict.fromkeys(files.folders()) if folder)
    named = [top for top in tops if top.lower() in SPLIT_NAMES]
    others = _holding_images(files, tops.keys() - named) if named else set()
    if named and not others:
        return {(top,): SPLIT_NAMES[top.lower()] for top in named}
    if named:
        said = ",".join(f"{SPLIT_NAMES[top.lower()]}={top}" for top in named)
        warnings.append(
            f"{first_few(named)} are taken for classes, because {first_few([t for t in tops if t in others])} beside "
            f"them hold images too: if they are splits, add --splits {said}"
        )
    return {(): TRAIN}


def _holding_images(files: FoundFiles, tops: Set[str]) -> set[str]:
    """Those of the root's folders `tops` that hold an image, see `holds_image`."""

    def sound() -> Iterator[tuple[str, FoundFile]]:
        for file in files:
            top = file.name.partition("/")[0]
            if top in tops and not file.fault:
                yield top, file

    found = {top for top, file in sound() if is_image_name(file.name)}
    for top, file in sound():
        if top not in found and _shows_image(file):
            found.add(top)
    return found


def holds_image(files: FoundFiles) -> bool:
    """Whether any of `files` is an image by its suffix or, where that says nothing, by its first bytes."""
    return any(is_image_name(file.name) for file in files if not file.fault) or any(
        _shows_image(file) for file in files if not file.fault
    )


def _shows_image(file: FoundFile) -> bool:
    return sniff_format(read_head(file.path)) not in _DOCUMENTS


def _split_folder(roots: Mapping[_Folder, str], folder: str) -> tuple[_Folder | None, _Folder]:
    """The longest beginning of `folder` that is in `roots`, if one is, and what follows it."""
    parts = _parts(folder)
    root = next((parts[:n] for n in range(len(parts), -1, -1) if parts[:n] in roots), None)
    return root, parts[len(root or ()) :]


def _about_depth(folders: Set[_Folder]) -> list[str]:
    """A warning if the classes seem to be deeper than the first level, by the folders that hold files."""
    if not folders or min(map(len, folders)) < 2:
        return []
    wrapper = [level[0] for level in takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))]
    inner = first_few(sorted({path[len(wrapper)] for path in folders if len(path) > len(wrapper)}))
    if wrapper and inner:
        place = "/".join(wrapper)
        return [f"{wrapper[0]}/ holds everything: if the folders in it ({inner}) are classes or splits, scan {place}"]
    below = sorted({path[1] for path in folders})
    if all(name.lower() in SPLIT_NAMES for name in below):
        return [f"all classes hold folders named like splits ({first_few(below)}): give the splits in a list, --labels"]
    if not wrapper:
        return [f"all classes hold folders ({first_few(below)}): if those are the classes, add --label-from parent"]
    return []


def _parts(folder: str) -> _Folder:
    return tuple(folder.split("/")) if folder else ()
