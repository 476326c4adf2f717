"""Lists of other programs, an earlier manifest, and links into the stores of git-annex, DVC and Git LFS."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from cleaner.errors import BadInputError
from tests.support.scanned import Recorder, make_tree, picture, save, scan


def test_lines_of_a_name_and_a_label(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / "in" / f"val {i}.png", picture(i))
    (tmp_path / "val.txt").write_text("".join(f"val {i}.png {i % 2}\n" for i in range(4)) + "\n")
    (tmp_path / "classes.txt").write_text("tench\ngold fish\n")  # as timm's --class-map has it
    manifest, _ = scan(
        tmp_path / "in",
        tmp_path / "work",
        labels_file=str(tmp_path / "val.txt"),
        class_names=str(tmp_path / "classes.txt"),
    )
    assert manifest["label"].tolist() == ["tench", "gold fish"] * 2
    (tmp_path / "val.txt").write_text("".join(f"val {i}.png\tgold fish\n" for i in range(4)))
    manifest, _ = scan(tmp_path / "in", tmp_path / "work", labels_file=str(tmp_path / "val.txt"))
    assert set(manifest["label"]) == {"gold fish"}
    (tmp_path / "val.txt").write_text("one.png\n")
    with pytest.raises(BadInputError, match="lines without a label"):
        scan(tmp_path / "in", tmp_path / "work", labels_file=str(tmp_path / "val.txt"))


def test_the_class_map_of_torchvision(tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    root = make_tree(tmp_path / "in")
    theirs = datasets.ImageFolder(str(root))
    rows = [(os.path.relpath(path, root), number) for path, number in theirs.samples]
    pd.DataFrame(rows, columns=["file_name", "label"]).to_csv(tmp_path / "samples.csv", index=False)
    pd.Series(theirs.class_to_idx).to_json(tmp_path / "class_to_idx.json")
    names = {"labels_file": str(tmp_path / "samples.csv"), "class_names": str(tmp_path / "class_to_idx.json")}
    manifest, _ = scan(root, tmp_path / "work", **names)
    assert manifest["label"].tolist() == [name.split("/")[0] for name in manifest.index]


def test_the_manifest_of_an_earlier_run_is_what_it_kept(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "in")
    save(root / "a" / "again.png", picture(0))  # an exact copy, which the first scan drops
    before, _ = scan(root, tmp_path / "one")
    assert before["keep"].sum() == 12
    after, _ = scan(root, tmp_path / "two", labels_file=str(tmp_path / "one" / "scan" / "manifest.parquet"))
    assert list(after.index) == before.index[before["keep"]].tolist()
    assert after["label"].tolist() == before.loc[before["keep"], "clean_label"].tolist()


@pytest.mark.parametrize("store", [".git/annex/objects/aa/KEY", ".dvc/cache/files/md5/12"])
def test_links_into_the_store_of_the_repository_are_followed(store: str, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    root = make_tree(repository / "images")
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        kept = repository / store / f"{number}.png"
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
        path.symlink_to(os.path.relpath(kept, path.parent))
    manifest, _ = scan(root, tmp_path / "work")
    assert manifest["readable"].all() and len(manifest) == 12
    # of another repository they lead out as any link does
    other = make_tree(tmp_path / "other" / "images")
    link = other / "a" / "link.png"
    link.symlink_to(repository / store / "0.png")
    manifest, _ = scan(other, tmp_path / "work2")
    assert manifest.loc["a/link.png", "fault"] == "outside_root"


def test_what_is_not_fetched_yet_is_said_with_the_command(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "in")
    (root / "a" / "annexed.jpg").symlink_to("../../.git/annex/objects/xx/yy/SHA256E--00.jpg")
    (root / "b" / "pointer.jpg").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 12345\n"
    )
    heard = Recorder()
    manifest, _ = scan(root, tmp_path / "work", progress=heard)
    said = "\n".join(heard.warnings)
    assert "`git annex get .` fetches them (a/annexed.jpg)" in said and "`git lfs pull` fetches them" in said
    assert manifest.loc["b/pointer.jpg", ["fault", "notes"]].tolist() == [
        "not_an_image",
        "a Git LFS pointer: `git lfs pull` fetches the image",
    ]
    assert manifest.loc["a/annexed.jpg", "fault"] == "missing"


def test_metadata_without_labels_leaves_them_to_the_folders(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "in")
    (root / "metadata.csv").write_text("file_name,caption\na/00.png,one\n")
    manifest, _ = scan(root, tmp_path / "work")
    pictures = manifest[manifest["readable"]]
    assert pictures["label"].tolist() == [name.split("/")[0] for name in pictures.index]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,label\na/00.png,\n", "empty cells"),
        ("file_name,label\n../x.png,cat\n", "lead out of the images root"),
        ("file_name,label\na/00.png,x\na/00.png,y\n", "listed again"),
        ("file_name,label\nnobody.png,x\n", "none of its 1 file names"),
    ],
)
def test_metadata_that_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "in")
    (root / "metadata.csv").write_text(text)
    with pytest.raises(BadInputError, match=message) as refused:
        scan(root, tmp_path / "work")
    assert "metadata" in str(refused.value)
