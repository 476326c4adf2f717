"""Labels and splits from the folders of an image tree."""

from __future__ import annotations

from collections.abc import Sequence

from cleaner.dataset.files import FoundFile

SPLIT_FOLDERS = frozenset({"train", "val", "valid", "validation", "test"})
TRAIN = "train"


def read_folders(files: Sequence[FoundFile], label_from: str) -> tuple[list[str], list[str]]:
    """The labels and the splits of `files`, in their order.

    `label_from` is `root` (the first folder below the images root) or `parent` (the file's own folder); a file in no
    such folder has label ''. If all folders in the root are named like splits, they are the splits and labels begin
    one level down; otherwise every file belongs to split `train`.
    """
    folders = [_folders_of(file) for file in files]
    tops = {path[0] for path in folders if path}
    if not tops or not tops <= SPLIT_FOLDERS:
        return [_label(path, label_from) for path in folders], [TRAIN] * len(folders)
    return [_label(path[1:], label_from) for path in folders], [path[0] if path else TRAIN for path in folders]


def _folders_of(file: FoundFile) -> list[str]:
    parts = file.name.split("/")
    return parts if file.is_folder else parts[:-1]


def _label(folders: list[str], label_from: str) -> str:
    if not folders:
        return ""
    return folders[0] if label_from == "root" else folders[-1]
