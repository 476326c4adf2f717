"""Labels and splits from folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cleaner.dataset.class_folders import FolderLabels, read_folders
from cleaner.dataset.files import list_files
from cleaner.errors import UsageError
from tests.support.pictures import encoded, picture, write

JPEG = encoded(picture(8, 8), "JPEG")


def read(root: Path, *names: str, splits: tuple[tuple[str, str], ...] = ()) -> FolderLabels:
    for name in names:
        write(root / name, JPEG if "." not in name or name.endswith("jpg") else b"text")
    return read_folders(list_files(root, False), "root", splits)


def test_split_folders_in_any_case_and_spelling(tmp_path: Path) -> None:
    tree = read(tmp_path, "Training/owl/1.jpg", "VALIDATION/owl/2.jpg", "testing/fox/3.jpg", "valid/fox/4.jpg")
    assert list(tree.labels) == ["owl", "owl", "fox", "fox"]
    assert list(tree.splits) == ["train", "val", "test", "val"]
    assert not tree.warnings


def test_folders_without_images_beside_splits_are_passed_over(tmp_path: Path) -> None:
    tree = read(tmp_path, "train/owl/1.jpg", "dev/notes.txt", "dev/more/2.txt", "meta/owl.xml", "README.md")
    assert [file.name for file in tree.files] == ["README.md", "train/owl/1.jpg"]
    assert (list(tree.labels), list(tree.splits)) == (["", "owl"], ["train", "train"])
    assert tree.passed_over == {"dev": 2, "meta": 1}
    assert "dev/ (2 files), meta/ (1 files)" in tree.warnings[0]


@pytest.mark.parametrize("other", ["extra/5.jpg", "extra/no_suffix"])
def test_beside_other_folders_with_images_split_names_are_classes(tmp_path: Path, other: str) -> None:
    tree = read(tmp_path, "Train/owl/1.jpg", "test/owl/2.jpg", other)
    assert list(tree.labels) == ["Train", "extra", "test"] and set(tree.splits) == {"train"}
    assert "--splits train=Train,test=test" in tree.warnings[0]


def test_splits_named_by_hand(tmp_path: Path) -> None:
    names = ("seen/owl/1.jpg", "more/seen/fox/2.jpg", "unseen/owl/3.jpg", "junk/4.jpg", "more/5.jpg", "top.txt")
    hands = (("train", "seen"), ("train", "more/seen/"), ("held", "unseen"))
    tree = read(tmp_path, *names, splits=hands)
    rows = {file.name: row for file, *row in zip(tree.files, tree.labels, tree.splits, strict=True)}
    assert rows == {
        "more/seen/fox/2.jpg": ["fox", "train"],
        "seen/owl/1.jpg": ["owl", "train"],
        "top.txt": ["", "train"],
        "unseen/owl/3.jpg": ["owl", "held"],
    }
    assert tree.passed_over == {"junk": 1, "more": 1}
    with pytest.raises(UsageError, match="val=unsen: no files") as error:
        read(tmp_path, splits=(("val", "unsen"),))
    assert "unseen" in error.value.found


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("set/v2/owl/1.jpg", "set/v2/fox/2.jpg"), "set/ holds everything.*fox, owl.* scan set/v2$"),
        (("bird/owl/1.jpg", "cat/lynx/2.jpg"), "--label-from parent"),
        (("owl/train/1.jpg", "owl/test/2.jpg", "fox/train/3.jpg"), "train.* --labels"),
    ],
)
def test_trees_that_are_deeper_than_they_are_read_are_told(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    (warning,) = read(tmp_path, *names).warnings
    assert re.search(said, warning)


def test_folders_within_some_classes_are_nothing_odd(tmp_path: Path) -> None:
    assert not read(tmp_path, "owl/a/1.jpg", "owl/b/2.jpg", "fox/3.jpg").warnings
    assert not read(tmp_path / "one", "owl/1.jpg", "owl/2.jpg").warnings
