"""The cleaned set as folders and as a table: what a trainer reads is what the manifest says."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from cleaner.dataset.exporters import export_csv, export_folder
from cleaner.errors import BadInputError, CleanerError, UsageError

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF", ".dat": "JPEG"}


def make_set(root: Path, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Real images and the manifest of them; a row gives file_name and what differs from a kept training image."""
    made = []
    for i, row in enumerate(rows):
        path = root / str(row["file_name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        image_format = FORMATS[path.suffix]
        Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(path, format=image_format)
        label = str(row.get("label", path.relative_to(root).parts[0]))
        made.append(
            {
                "image_id": hashlib.sha256(path.read_bytes()).hexdigest(),
                "label": label,
                "clean_label": label,
                "split": "train",
                "keep": True,
                "drop_stage": "",
                "drop_reason": "",
                "format": image_format,
                "file_bytes": path.stat().st_size,
                "fault": "",
                "repeats": 1,
                **row,
            }
        )
    return pd.DataFrame(made)


def gone(stage: str, reason: str) -> dict[str, object]:
    return {"keep": False, "drop_stage": stage, "drop_reason": reason, "repeats": 0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def small(root: Path) -> pd.DataFrame:
    return make_set(
        root,
        [
            {"file_name": "cat/1.jpg"},
            {"file_name": "cat/2.png", "clean_label": "dog"},
            {"file_name": "cat/map.png", **gone("noise", "noise_image")},
            {"file_name": "dog/1.jpg", "repeats": 3},
            {"file_name": "dog/2.png"},
            {"file_name": "Éclair, ü/1.jpg"},
        ],
    )


def files_of(out: Path) -> list[str]:
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())


def test_image_folder_reads_it_in_the_order_of_classes_txt(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = export_folder(small, root, out)
    assert files_of(out) == [
        "cat/1.jpg",
        "classes.txt",
        "dog/1.jpg",
        "dog/1~2.jpg",
        "dog/1~3.jpg",
        "dog/2.png",
        "dog/2~2.png",
        "Éclair, ü/1.jpg",
    ]
    data = ImageFolder(str(out))
    assert data.classes == result.classes == (out / "classes.txt").read_text().splitlines()
    assert len(data) == result.num_files + result.num_repeats == 7
    assert np.bincount(data.targets).tolist() == [1, 5, 1]
    dog = [Path(p).name for p, target in data.samples if data.classes[target] == "dog"]
    assert (out / "dog" / "2.png").samefile(root / "cat" / "2.png"), "the first by file_name has the plain name"
    assert len(dog) == 5 and result.num_copied == 0


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy"])
def test_modes_and_untouched_sources(small: pd.DataFrame, root: Path, tmp_path: Path, mode: str) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}
    out = tmp_path / "out"
    export_folder(small, root, out, mode=mode)  # type: ignore[arg-type]
    path = out / "cat" / "1.jpg"
    assert path.is_symlink() == (mode == "symlink")
    assert path.samefile(root / "cat" / "1.jpg") == (mode != "copy")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()} == before
    assert len(ImageFolder(str(out))) == 7


def test_splits_have_folders_and_number_classes_alike(root: Path, tmp_path: Path) -> None:
    manifest = make_set(
        root,
        [
            {"file_name": "train/cat/1.jpg", "label": "cat"},
            {"file_name": "train/dog/1.jpg", "label": "dog", "repeats": 2},
            {"file_name": "val/dog/1.jpg", "label": "dog", "split": "val"},
            {"file_name": "val/owl/1.jpg", "label": "owl", "split": "val"},
        ],
    )
    out = tmp_path / "out"
    result = export_folder(manifest, root, out, repeats="csv")
    train, val = ImageFolder(str(out / "train")), ImageFolder(str(out / "val"), allow_empty=True)
    assert train.classes == val.classes == result.classes == ["cat", "dog"]
    assert [val.classes[t] for t in val.targets] == ["dog"]
    assert any("owl" in w for w in result.warnings) and any("val/cat" in w for w in result.warnings)
    table = pd.read_csv(out / "repeats.csv")
    assert table.loc[table["repeats"] == 2, "path"].tolist() == ["train/dog/1.jpg"]


def test_dropped_ones_by_reason(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    lost = small.iloc[[0]].assign(file_name="cat/lost.jpg", fault="missing", **gone("scan", "unreadable"))
    odd = make_set(root, [{"file_name": "dog/odd.jpg", "label": "a/b", **gone("scan", "unreadable")}])
    out = tmp_path / "out"
    result = export_folder(pd.concat([small, lost, odd]), root, out, dropped=True, repeats="ignore")
    assert [f for f in files_of(out) if f.startswith("dropped")] == [
        "dropped/noise-noise_image/cat/map.png",
        "dropped/scan-unreadable/odd.jpg",
    ]
    assert result.num_dropped == 2 and any(w.startswith("1 dropped files are missing") for w in result.warnings)
    assert ImageFolder(str(out / "train")).classes == result.classes


def test_names_that_meet_after_relabelling(root: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"file_name": "a/1.jpg", "clean_label": "c", "repeats": 2},
        {"file_name": "b/1.jpg", "clean_label": "c"},
        {"file_name": "c/1.jpg"},
        {"file_name": "c/1~2.jpg"},
        {"file_name": "c/deep/1.jpg"},
    ]
    manifest = make_set(root, rows)
    one, two = tmp_path / "one", tmp_path / "two"
    export_folder(manifest, root, one)
    export_folder(manifest.iloc[::-1], root, two)
    assert files_of(one) == files_of(two) and len(files_of(one)) == 7
    assert all((one / f).samefile(two / f) for f in files_of(one) if f != "classes.txt")
    assert (one / "c" / "1.jpg").samefile(root / "a" / "1.jpg")


def test_files_whose_names_hide_that_they_are_images(root: Path, tmp_path: Path) -> None:
    manifest = make_set(root, [{"file_name": "cat/1.dat"}, {"file_name": "cat/2.gif"}])
    result = export_folder(manifest, root, tmp_path / "out")
    assert [Path(p).name for p, _ in ImageFolder(str(tmp_path / "out")).samples] == ["1.dat.jpg"]
    assert any(w.startswith("1 files have a name that ImageFolder ignores") for w in result.warnings)


@pytest.mark.parametrize("label", ["..", ".", "", "a/b", "../../escape", "line\nbreak", "classes.txt", "x" * 256])
def test_labels_that_cannot_be_folders_are_refused(root: Path, tmp_path: Path, label: str) -> None:
    manifest = make_set(root, [{"file_name": "cat/1.jpg", "clean_label": label}])
    with pytest.raises(BadInputError, match="cannot be the name of a folder"):
        export_folder(manifest, root, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_a_file_name_cannot_lead_out_of_the_root(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    small.loc[0, "file_name"] = "../secret.jpg"
    with pytest.raises(BadInputError, match="leads out"):
        export_folder(small, root, tmp_path / "out")


def test_the_target_must_be_free_and_apart(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    export_folder(small, root, taken)
    with pytest.raises(UsageError, match="already exists"):
        export_folder(small, root, taken)
    with pytest.raises(UsageError, match="among the source images"):
        export_folder(small, root, root / "out")
    with pytest.raises(UsageError, match="already exists"):
        export_csv(small, taken)


def test_sources_that_changed_are_named_and_nothing_is_left(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    (root / "cat" / "1.jpg").unlink()
    (root / "dog" / "1.jpg").write_bytes(b"shorter")
    with pytest.raises(BadInputError, match=r"2 images[\s\S]*cat/1.jpg[\s\S]*dog/1.jpg \(7 bytes instead of"):
        export_folder(small, root, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_an_interrupted_export_leaves_nothing(
    small: pd.DataFrame, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(CleanerError, match="No space left"):
        export_folder(small, root, tmp_path / "out", mode="symlink")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_across_devices_hard_links_become_copies(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        result = export_folder(small, root, Path(folder) / "out")
        assert result.num_copied == 7
        assert len(ImageFolder(f"{folder}/out")) == 7


def test_nothing_kept_is_an_error(small: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no image is kept"):
        export_folder(small.assign(keep=False), root, tmp_path / "out")


def test_a_table(small: pd.DataFrame, tmp_path: Path) -> None:
    result = export_csv(small, tmp_path / "kept.csv")
    table = pd.read_csv(tmp_path / "kept.csv", keep_default_na=False)
    assert list(table.columns) == ["file_name", "clean_label", "split", "label", "image_id", "repeats"]
    assert len(table) == result.num_files == 5
    assert table.set_index("file_name").loc["cat/2.png", ["clean_label", "label"]].tolist() == ["dog", "cat"]
    export_csv(small, tmp_path / "rows.parquet", repeats="files", dropped=True)
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    assert len(rows) == 8 and (rows["file_name"] == "dog/1.jpg").sum() == 3
    assert rows.loc[~rows["keep"], "drop_reason"].tolist() == ["noise_image"]
    with pytest.raises(UsageError, match="unknown kind of table"):
        export_csv(small, tmp_path / "kept.xlsx")
