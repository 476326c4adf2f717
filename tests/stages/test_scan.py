"""The scan stage on real files: facts and faults, labels and splits, copies."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cleaner.dataset import inspection
from cleaner.dataset.decisions import DecisionStore
from cleaner.errors import BadInputError, UsageError
from tests.support.scanned import Recorder, make_tree, picture, save, scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "images")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_one_row_for_each_file_with_the_facts_of_it(root: Path, work: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "a/turned.jpg", picture(40, 96, 72), exif=exif)
    save(root / "c/grey.png", picture(41).convert("L"))
    recorder = Recorder()
    rows, result = scan(root, work, progress=recorder)
    assert list(rows.index) == sorted(str(p.relative_to(root)) for p in root.glob("*/*"))
    assert rows["keep"].all() and rows["readable"].all()
    assert (rows["label"] == [name[0] for name in rows.index]).all() and (rows["clean_label"] == rows["label"]).all()
    assert (rows["split"] == "train").all() and (rows["duplicate_group"] == -1).all()
    turned = rows.loc["a/turned.jpg"]
    assert (turned["width"], turned["height"], turned["mode"], turned["format"]) == (72, 96, "RGB", "JPEG")
    data = (root / "c/grey.png").read_bytes()
    grey = rows.loc["c/grey.png"]
    assert (grey["image_id"], grey["file_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (grey["mode"], grey["format"]) == ("L", "PNG")
    assert result.record.counts["rows"] == 14 and result.record.counts["classes"] == 3
    assert (recorder.done, recorder.total) == (14, 14)


def test_bad_files_are_dropped_with_their_fault_and_stop_nothing(root: Path, work: Path, tmp_path: Path) -> None:
    whole = (root / "a/00.png").read_bytes()
    planted = {
        "a/empty.jpg": (b"", "empty"),
        "b/cut.png": (whole[: len(whole) // 2], "truncated"),
        "b/text.jpg": (b"no image", "not_an_image"),
        "README.md": (b"stray file in the root", "not_an_image"),
        "c/doc.pdf": (b"%PDF-1.4 ...", "unsupported_format"),
        "c/bad\x07name.png": (whole, "bad_name"),
    }
    for name, (data, _) in planted.items():
        (root / name).write_bytes(data)
    save(root / "a/large.png", picture(50, 300, 300))
    (root / "a/gone.png").symlink_to("nowhere.png")
    (root / "a/out.png").symlink_to(save(tmp_path / "elsewhere.png", picture(51)))
    (root / "d").symlink_to(tmp_path)
    os.mkfifo(root / "b/pipe.png")
    rows, result = scan(root, work, max_pixels=300 * 299, workers=2)
    expected = {name.replace("\x07", "\\x07"): fault for name, (_, fault) in planted.items()} | {
        "a/large.png": "too_large",
        "a/gone.png": "missing",
        "a/out.png": "outside_root",
        "d": "outside_root",
        "b/pipe.png": "unreadable",
    }
    assert rows["fault"][rows["fault"] != ""].to_dict() == expected
    bad = rows[rows["fault"] != ""]
    assert not bad["readable"].any() and not bad["keep"].any()
    assert (bad["drop_stage"] == "scan").all() and (bad["drop_reason"] == "unreadable").all()
    assert (bad["duplicate_group"] == -1).all() and not bad["label_conflict"].any()
    assert rows.loc["d", "label"] == "d" and rows.loc["README.md", "label"] == ""
    assert rows["keep"].sum() == 12
    assert result.record.counts["faults"] == {
        f: list(expected.values()).count(f) for f in sorted(set(expected.values()))
    }
    assert result.record.counts["dropped"] == {"unreadable": len(expected)}
    assert not rows.select_dtypes(exclude="float").isna().any().any()


def test_followed_links_bring_in_what_lies_outside(root: Path, work: Path, tmp_path: Path) -> None:
    save(tmp_path / "more/1.png", picture(60))
    (root / "d").symlink_to(tmp_path / "more")
    rows, _ = scan(root, work, follow_symlinks=True)
    assert rows.loc["d/1.png", "label"] == "d" and rows.loc["d/1.png", "keep"]


def test_the_label_is_the_first_folder_or_the_files_own(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    save(root / "animals/cat/1.png", picture(0))
    save(root / "animals/2.png", picture(1))
    save(root / "tools/saw/old/3.png", picture(2))
    rows, _ = scan(root, work)
    assert rows["label"].tolist() == ["animals", "animals", "tools"]
    rows, _ = scan(root, work, label_from="parent")
    assert rows["label"].to_dict() == {
        "animals/2.png": "animals",
        "animals/cat/1.png": "cat",
        "tools/saw/old/3.png": "old",
    }


@pytest.mark.parametrize("label_from", ["root", "parent"])
def test_a_root_of_split_folders_gives_splits(tmp_path: Path, work: Path, label_from: str) -> None:
    root = tmp_path / "images"
    for i, split in enumerate(("train", "val", "test")):
        save(root / split / "cat/1.png", picture(i))
    (root / "notes.txt").write_text("stray")
    rows, _ = scan(root, work, label_from=label_from)
    assert rows["split"].to_dict() == {
        "notes.txt": "train",
        "test/cat/1.png": "test",
        "train/cat/1.png": "train",
        "val/cat/1.png": "val",
    }
    assert set(rows["label"][rows["readable"]]) == {"cat"}
    save(root / "dog/1.png", picture(9))
    rows, _ = scan(root, work)
    assert set(rows["split"]) == {"train"} and rows.loc["val/cat/1.png", "label"] == "val"


def test_what_is_passed_over_is_counted_and_told(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    save(root / "Train/owl/1.png", picture(0))
    save(root / "Train/owl/@eaDir/1.png/thumb.png", picture(1))
    (root / "Annotations").mkdir()
    (root / "Annotations/1.xml").write_text("<owl/>")
    (root / "val").symlink_to(tmp_path)
    recorder = Recorder()
    rows, result = scan(root, work, progress=recorder)
    assert rows.index.tolist() == ["Train/owl/1.png", "val"]
    assert result.record.counts["passed_over"] == {"@eaDir": 1, "Annotations": 1}
    assert "Annotations/ (1 files)" in recorder.warnings[0]
    assert "--follow-symlinks" in recorder.warnings[1]
    rows, _ = scan(root, work, splits=("held=Train",), progress=Recorder())
    assert rows["split"].tolist() == ["held"]


def test_images_in_no_class_folder_are_passed_over_and_told(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    for i in range(4):
        save(root / f"{'ab'[i % 2]}/{i}.png", picture(i))
    shutil.copy(root / "a/0.png", root / "cover.png")
    shutil.copy(root / "b/1.png", root / "no_suffix")
    (root / "notes.txt").write_text("about the set")
    recorder = Recorder()
    rows, result = scan(root, work, progress=recorder)
    assert rows["label"].to_dict() == {"a/0.png": "a", "a/2.png": "a", "b/1.png": "b", "b/3.png": "b", "notes.txt": ""}
    assert (rows["duplicate_group"] == -1).all() and rows["fault"]["notes.txt"] == "not_an_image"
    assert result.record.counts["passed_over"] == {"images in no class folder": 2}
    assert any("2 images lie in no class folder" in w and "cover.png, no_suffix" in w for w in recorder.warnings)
    for split, i in (("train", 5), ("val", 6)):
        save(tmp_path / f"split/{split}/owl/1.png", picture(i))
    save(tmp_path / "split/train/montage.jpg", picture(7))
    rows, result = scan(tmp_path / "split", tmp_path / "other")
    assert rows.index.tolist() == ["train/owl/1.png", "val/owl/1.png"]
    assert result.record.counts["passed_over"] == {"images in no class folder": 1}


def test_classes_whose_names_read_alike_are_told_and_merged_on_request(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    for i, name in enumerate(("Fox", "Fox", "fox", "owl")):
        save(root / f"{name}/{i}.png", picture(i))
    recorder = Recorder()
    scan(root, work, progress=recorder)
    assert recorder.warnings == [
        "classes whose names read alike: 'fox' and 'Fox'; if they are one, add --normalize-labels"
    ]
    rows, result = scan(root, work, normalize_labels=True)
    assert result.record.counts["merges_recorded"] == 1 and not result.warnings
    assert rows["label"].tolist() == rows["clean_label"].tolist() == ["Fox", "Fox", "fox", "owl"], "as given"
    verdicts = DecisionStore(work / "decisions.sqlite").class_verdicts()
    assert verdicts.loc["fox"].tolist() == ["merge", "Fox", "normalize-labels"]


def test_exact_copies(root: Path, work: Path) -> None:
    shutil.copy(root / "a/00.png", root / "a/copy.png")
    save(root / "a/same_pixels.bmp", picture(0))
    shutil.copy(root / "a/00.png", root / "b/other_label.png")
    shutil.copy(root / "a/00.png", root / "b/other_label_again.png")
    shutil.copy(root / "c/02.png", root / "c/00_comes_first.png")
    rows, result = scan(root, work)
    members = ["a/00.png", "a/copy.png", "a/same_pixels.bmp", "b/other_label.png", "b/other_label_again.png"]
    assert rows.loc[members, "duplicate_group"].tolist() == [0] * 5
    assert rows.loc[["c/00_comes_first.png", "c/02.png"], "duplicate_group"].tolist() == [1, 1]
    assert (rows["duplicate_group"] >= 0).sum() == 7
    assert set(rows["duplicate_kind"][rows["duplicate_group"] >= 0]) == {"exact"}
    assert rows.index[rows["label_conflict"]].tolist() == members
    dropped = rows[~rows["keep"]]
    assert list(dropped.index) == ["a/copy.png", "a/same_pixels.bmp", "b/other_label_again.png", "c/02.png"]
    assert set(dropped["drop_reason"]) == {"exact_duplicate"}
    counts = result.record.counts
    assert (counts["exact_groups"], counts["near_groups"], counts["label_conflicts"]) == (2, 0, 5)
    assert counts["dropped"] == {"exact_duplicate": 4} and counts["cross_split_copies"] == 0


def test_copies_across_splits_are_reported_and_only_train_loses_rows(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    for name in ("train/x/1", "train/x/2", "test/x/1", "test/x/2", "test/y/1", "train/y/3"):
        save(root / f"{name}.png", picture(0 if name[-1] != "3" else 3))
    (root / "test/x/bad.png").write_bytes(b"")
    rows, result = scan(root, work)
    assert rows.index[~rows["keep"]].tolist() == ["test/x/bad.png", "train/x/2.png"]
    assert result.record.counts["cross_split_copies"] == 5
    assert rows.index[rows["label_conflict"]].tolist() == [
        "test/x/1.png",
        "test/x/2.png",
        "test/y/1.png",
        "train/x/1.png",
        "train/x/2.png",
    ]


def test_near_duplicates_are_grouped_and_kept(root: Path, work: Path) -> None:
    save(root / "a/small.jpg", picture(0).resize((80, 60)), quality=60)
    save(root / "c/light.png", picture(1).point(lambda v: min(255, int(v * 1.06))))
    shutil.copy(root / "a/small.jpg", root / "b/small_copy.jpg")
    rows, result = scan(root, work)
    near = rows[rows["duplicate_group"] >= 0]
    assert near["duplicate_group"].to_dict() == {
        "a/00.png": 0,
        "a/small.jpg": 0,
        "b/01.png": 1,
        "b/small_copy.jpg": 0,
        "c/light.png": 1,
    }
    assert near["duplicate_kind"].to_dict() == {
        "a/00.png": "near",
        "a/small.jpg": "exact",
        "b/01.png": "near",
        "b/small_copy.jpg": "exact",
        "c/light.png": "near",
    }
    assert rows["keep"].all() and result.record.counts["near_groups"] == 2
    rows, _ = scan(root, work, near_radius=0)
    assert rows.index[rows["duplicate_group"] >= 0].tolist() == ["a/small.jpg", "b/small_copy.jpg"]


def test_nearly_uniform_images_join_by_equal_pixels_alone(root: Path, work: Path) -> None:
    save(root / "a/white1.png", Image.new("RGB", (50, 50), "white"))
    save(root / "a/white2.bmp", Image.new("RGB", (50, 50), "white"))
    save(root / "a/white3.png", Image.new("RGB", (51, 50), "white"))
    save(root / "a/black.png", Image.new("RGB", (50, 50), "black"))
    rows, _ = scan(root, work)
    assert rows.index[rows["duplicate_group"] >= 0].tolist() == ["a/white1.png", "a/white2.bmp"]


def test_roots_that_cannot_be_scanned(tmp_path: Path, work: Path) -> None:
    with pytest.raises(BadInputError, match="no such folder"):
        scan(tmp_path / "absent", work)
    with pytest.raises(BadInputError, match="not a folder"):
        scan(save(tmp_path / "file.png", picture(0)), work)
    (tmp_path / "empty/a").mkdir(parents=True)
    with pytest.raises(BadInputError, match="holds no files"):
        scan(tmp_path / "empty", work)
    save(tmp_path / "flat/1.png", picture(0))
    with pytest.raises(BadInputError, match="no class folders") as caught:
        scan(tmp_path / "flat", work)
    assert "--labels" in caught.value.next_step
    save(tmp_path / "flat/a/2.png", picture(1))
    with pytest.raises(BadInputError, match=r"1 images in no class folder, such as 1\.png"):
        scan(tmp_path / "flat", work)
    with pytest.raises(UsageError, match="lies among the images"):
        scan(tmp_path / "flat", tmp_path / "flat/work")
    with pytest.raises(UsageError, match="lies among the images"):
        scan(tmp_path / "flat", tmp_path / "flat")
    save(tmp_path / "caf\udce9/a/2.png", picture(1))
    with pytest.raises(BadInputError, match=r"caf\\xe9: this path cannot be recorded"):
        scan(tmp_path / "caf\udce9", work)
    assert not work.exists()


def test_what_is_up_to_date_is_left_alone(root: Path, work: Path) -> None:
    _, first = scan(root, work)
    _, again = scan(root, work)
    assert not first.was_current and again.was_current and again.record == first.record
    _, forced = scan(root, work, force=True)
    assert not forced.was_current and forced.record.outputs == first.record.outputs
    os.utime(root / "a/00.png", (1, 1))
    _, touched = scan(root, work)
    assert not touched.was_current and touched.record.outputs == first.record.outputs


def test_the_manifest_does_not_depend_on_workers(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "BATCH_FILES", 3)
    shutil.copy(root / "a/00.png", root / "b/copy.png")
    (root / "a/bad.png").write_bytes(b"")
    digests = set()
    for workers in (1, 2):
        _, result = scan(root, work.parent / f"work{workers}", workers=workers)
        digests.add(result.record.outputs["manifest.parquet"])
    assert len(digests) == 1
