from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset import inspection
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, UsageError
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageResult
from tests.support.places import REPO


def picture(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def scan(
    root: Path, work: Path, *, workers: int = 1, force: bool = False, progress: Any = None, **settings: Any
) -> tuple[pd.DataFrame, StageResult]:
    options = RunOptions(workers=workers, force=force, **({"progress": progress} if progress else {}))
    result = run_scan(Workspace(work), root, ScanSettings(**settings), options)
    return Workspace(work).read("scan").set_index("file_name"), result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for i in range(12):
        save(folder / f"{'abc'[i % 3]}/{i:02d}.png", picture(i))
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


class Recorder:
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.done = 0
        self.total = 0

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Recorder]:
        assert name == "scan"
        self.total = total
        yield self

    def advance(self, num: int = 1) -> None:
        self.done += num

    def say(self, message: str) -> None:
        raise AssertionError(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


# ---- rows


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


# ---- labels and splits


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


def test_labels_from_a_list_stay_text(root: Path, work: Path) -> None:
    names = sorted(str(p.relative_to(root)) for p in root.glob("*/*"))
    labels = ["NA", "007", "null", "1e5", "True", " spaced ", "ü", "a,b", '"', "nan", "None", "0"]
    listed = pd.DataFrame({"file_name": names, "label": labels, "split": ["train", "val"] * 6})
    for name, writer in {
        "plain.csv": lambda p: listed.to_csv(p, index=False),
        "bom.csv": lambda p: listed.to_csv(p, index=False, encoding="utf-8-sig"),
        "tabs.tsv": lambda p: listed.to_csv(p, index=False, sep="\t"),
        "table.parquet": lambda p: listed.to_parquet(p),
    }.items():
        writer(work.parent / name)
        rows, result = scan(root, work, labels_file=str(work.parent / name))
        assert rows["label"].tolist() == labels
        assert rows["split"].tolist() == ["train", "val"] * 6
        assert result.record.input_sha256("labels") == hashlib.sha256((work.parent / name).read_bytes()).hexdigest()


def test_a_list_with_files_too_many_and_too_few(root: Path, work: Path) -> None:
    save(root / ".hidden/1.png", picture(70))
    table = root / "labels.csv"
    table.write_text("file_name,label,extra\n./a/00.png,x,1\nb/gone.png,y,2\n.hidden/1.png,z,3\n")
    recorder = Recorder()
    rows, result = scan(root, work, labels_file=str(table), progress=recorder)
    assert rows["label"].to_dict() == {".hidden/1.png": "z", "a/00.png": "x", "b/gone.png": "y"}
    assert rows["fault"].to_dict() == {".hidden/1.png": "", "a/00.png": "", "b/gone.png": "missing"}
    assert len(recorder.warnings) == 2 and recorder.warnings == result.warnings
    assert "1 listed" in recorder.warnings[0] and "b/gone.png" in recorder.warnings[0]
    assert "11 files" in recorder.warnings[1]
    assert result.record.counts["unlisted"] == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,class\na/00.png,x\n", "label"),
        ("file_name,label\na/00.png,x\na/03.png,\n", "row 3"),
        ("file_name,label\na/00.png,x\n,y\n", "row 3"),
        ("file_name,label\na/00.png,x\na/00.png,x\n", "row 3.*twice"),
        ("file_name,label\na/00.png,x\n./a/00.png,y\n", "row 3.*other values"),
        ("file_name,label\n/a/00.png,x\n", "row 2"),
        ("file_name,label\n../00.png,x\n", "row 2"),
        ("file_name,label\na/00.png,x,z\n", "2"),
        ("file_name,label\n", "no rows"),
        ("", "empty"),
        ("file_name,label\nA/1.png,x\n", "none of its 1 file names"),
    ],
)
def test_lists_that_cannot_be_used(root: Path, work: Path, text: str, message: str) -> None:
    table = work.parent / "labels.csv"
    table.write_text(text)
    with pytest.raises(BadInputError, match=rf"(?s)labels\.csv.*{message}|{message}.*labels\.csv"):
        scan(root, work, labels_file=str(table))
    assert not (work / "scan").exists()


# ---- duplicates


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


# ---- roots that cannot be scanned


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
    with pytest.raises(BadInputError, match=r"1\.png: an image in no class folder"):
        scan(tmp_path / "flat", work)
    with pytest.raises(UsageError, match="lies among the images"):
        scan(tmp_path / "flat", tmp_path / "flat/work")
    with pytest.raises(UsageError, match="lies among the images"):
        scan(tmp_path / "flat", tmp_path / "flat")
    assert not work.exists()


# ---- runs


def test_what_is_up_to_date_is_left_alone(root: Path, work: Path) -> None:
    _, first = scan(root, work)
    _, again = scan(root, work)
    assert not first.was_current and again.was_current and again.record == first.record
    _, forced = scan(root, work, force=True)
    assert not forced.was_current and forced.record.outputs == first.record.outputs
    os.utime(root / "a/00.png", (1, 1))
    _, touched = scan(root, work)
    assert not touched.was_current and touched.record.outputs == first.record.outputs


def test_unchanged_files_are_not_read_again(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    true_inspect = inspection.inspect_image

    def inspect(path: str, max_pixels: int) -> Any:
        looked_at.append(Path(path).name)
        return true_inspect(path, max_pixels)

    monkeypatch.setattr(inspection, "inspect_image", inspect)
    scan(root, work)
    assert len(looked_at) == 12
    looked_at.clear()
    save(root / "a/new.png", picture(80))
    save(root / "b/01.png", picture(81))
    (root / "c/02.png").unlink()
    rows, _ = scan(root, work)
    assert sorted(looked_at) == ["01.png", "new.png"]
    looked_at.clear()
    fresh, _ = scan(root, work.parent / "fresh")
    assert len(looked_at) == 12
    pd.testing.assert_frame_equal(rows, fresh)
    looked_at.clear()
    next((work / "cache/scan").rglob("*.arrays")).write_bytes(b"damaged")
    again, _ = scan(root, work, force=True)
    assert looked_at
    pd.testing.assert_frame_equal(rows, again)


def test_a_mended_permission_is_noticed(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_inspect = inspection.inspect_image

    def inspect(path: str, max_pixels: int) -> Any:
        facts = true_inspect(path, max_pixels)
        return inspection.ImageFacts(fault="unreadable") if path.endswith("00.png") else facts

    with monkeypatch.context() as patch:
        patch.setattr(inspection, "inspect_image", inspect)
        rows, _ = scan(root, work)
    assert rows.loc["a/00.png", "fault"] == "unreadable"
    rows, _ = scan(root, work, force=True)
    assert rows["readable"].all()


def test_the_manifest_does_not_depend_on_workers(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "BATCH_FILES", 3)
    shutil.copy(root / "a/00.png", root / "b/copy.png")
    (root / "a/bad.png").write_bytes(b"")
    digests = set()
    for workers in (1, 2):
        _, result = scan(root, work.parent / f"work{workers}", workers=workers)
        digests.add(result.record.outputs["manifest.parquet"])
    assert len(digests) == 1


PROGRAM = """
import os, signal, sys
from pathlib import Path
from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset import inspection
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan

def kill_parent_at_fifth_result(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".arrays"):
        if len(list(Path(arguments[1]).parent.glob("*.arrays"))) == 4:
            os.kill(os.getppid(), signal.SIGKILL)

inspection.BATCH_FILES = 10
if __name__ == "__main__":
    run_scan(Workspace(Path(sys.argv[2])), Path(sys.argv[1]), ScanSettings(), RunOptions(workers=2))
else:
    sys.addaudithook(kill_parent_at_fifth_result)
"""


def test_a_killed_scan_goes_on_where_it_was(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    data = io.BytesIO()
    for i in range(300):
        data.seek(0)
        data.truncate()
        picture(i, 640, 480).save(data, "JPEG", quality=80)
        path = root / f"{'abc'[i % 3]}/{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(root), str(work)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(REPO)}, check=False)
    assert killed.returncode == -signal.SIGKILL, "the scan was to be killed half way"
    done = len(list(work.rglob("*.arrays")))
    assert 4 <= done < 30 and not (work / "scan/stage.json").exists()
    recorder = Recorder()
    _, resumed = scan(root, work, progress=recorder)
    _, undisturbed = scan(root, tmp_path / "other", workers=2)
    assert resumed.record.outputs == undisturbed.record.outputs
    assert recorder.done == recorder.total == 300
