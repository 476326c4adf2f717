"""Folders for ImageFolder, and tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torchvision.datasets import ImageFolder

from cleaner.errors import BadInputError, UsageError
from tests.support.exports import files_of, gone, make_set, write_to


def test_image_folder_reads_it_in_the_order_of_classes_txt(
    small_export: pd.DataFrame, images_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = write_to("folder", small_export, images_root, out, repeats="files")
    assert files_of(out) == [
        "cat/1.jpg",
        "classes.txt",
        "dog/1.jpg",
        "dog/1~2.jpg",
        "dog/1~3.jpg",
        "dog/2.png",
        "dog/2~2.png",
        "images.csv",
        "Éclair, ü/1.jpg",
    ]
    data = ImageFolder(str(out))
    assert data.classes == result.classes == (out / "classes.txt").read_text().splitlines()
    assert len(data) == result.num_files + result.num_repeats == 7
    assert np.bincount(data.targets).tolist() == [1, 5, 1]
    dog = [Path(p).name for p, target in data.samples if data.classes[target] == "dog"]
    assert (out / "dog" / "2.png").samefile(images_root / "cat" / "2.png"), "the first by file_name has the plain name"
    assert len(dog) == 5 and result.num_copied == 0


def test_splits_have_folders_and_number_classes_alike(images_root: Path, tmp_path: Path) -> None:
    manifest = make_set(
        images_root,
        [
            {"file_name": "train/cat/1.jpg", "label": "cat"},
            {"file_name": "train/dog/1.jpg", "label": "dog", "repeats": 2},
            {"file_name": "val/dog/1.jpg", "label": "dog", "split": "val"},
            {"file_name": "val/owl/1.jpg", "label": "owl", "split": "val"},
        ],
    )
    out = tmp_path / "out"
    result = write_to("folder", manifest, images_root, out, repeats="column")
    train, val = ImageFolder(str(out / "train")), ImageFolder(str(out / "val"), allow_empty=True)
    assert train.classes == val.classes == result.classes == ["cat", "dog"]
    assert [val.classes[t] for t in val.targets] == ["dog"]
    assert any("owl" in w for w in result.warnings) and any("val/cat" in w for w in result.warnings)
    table = pd.read_csv(out / "images.csv")
    assert table.loc[table["repeats"] == 2, "path"].tolist() == ["train/dog/1.jpg"]


def test_dropped_ones_by_reason(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    lost = small_export.iloc[[0]].assign(file_name="cat/lost.jpg", fault="missing", **gone("scan", "unreadable"))
    odd = make_set(images_root, [{"file_name": "dog/odd.jpg", "label": "a/b", **gone("scan", "unreadable")}])
    out = tmp_path / "out"
    result = write_to("folder", pd.concat([small_export, lost, odd]), images_root, out, dropped=True, repeats="ignore")
    assert [f for f in files_of(out) if f.startswith("dropped")] == [
        "dropped/noise-noise_image/cat/map.png",
        "dropped/scan-unreadable/a%2Fb/odd.jpg",
    ]
    assert result.num_dropped == 2 and any(w.startswith("1 dropped files are missing") for w in result.warnings)
    assert ImageFolder(str(out / "train")).classes == result.classes


def test_a_file_name_cannot_lead_out_of_the_root(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    small_export.loc[0, "file_name"] = "../secret.jpg"
    with pytest.raises(BadInputError, match="leads out"):
        write_to("folder", small_export, images_root, tmp_path / "out")


def test_the_target_must_be_free_and_apart(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    write_to("folder", small_export, images_root, taken)
    with pytest.raises(UsageError, match="already exists"):
        write_to("folder", small_export, images_root, taken)
    with pytest.raises(UsageError, match="among the source images"):
        write_to("folder", small_export, images_root, images_root / "out")
    with pytest.raises(UsageError, match="already exists"):
        write_to("csv", small_export, images_root, taken)


def test_sources_that_changed_are_named_and_nothing_is_left(
    small_export: pd.DataFrame, images_root: Path, tmp_path: Path
) -> None:
    (images_root / "cat" / "1.jpg").unlink()
    (images_root / "dog" / "1.jpg").write_bytes(b"shorter")
    with pytest.raises(BadInputError, match=r"2 images[\s\S]*cat/1.jpg[\s\S]*dog/1.jpg \(7 bytes instead of"):
        write_to("folder", small_export, images_root, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_nothing_kept_is_an_error(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no image is kept"):
        write_to("folder", small_export.assign(keep=False), images_root, tmp_path / "out")


def test_a_table(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    result = write_to("csv", small_export, images_root, tmp_path / "kept.csv")
    table = pd.read_csv(tmp_path / "kept.csv", keep_default_na=False)
    assert list(table.columns) == ["file_name", "clean_label", "split", "label", "image_id", "repeats", "weight"]
    assert len(table) == result.num_files == 5
    assert table.set_index("file_name").loc["cat/2.png", ["clean_label", "label"]].tolist() == ["dog", "cat"]
    write_to("parquet", small_export, images_root, tmp_path / "rows.parquet", repeats="files", dropped=True)
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    assert len(rows) == 8 and (rows["file_name"] == "dog/1.jpg").sum() == 3
    assert rows.loc[~rows["keep"], "drop_reason"].tolist() == ["noise_image"]
