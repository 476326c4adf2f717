"""Sets as other programs write them, by these programs: webdataset, datasets (Parquet, saved, imagefolder), tar."""

from __future__ import annotations

import io
import tarfile
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cleaner.dataset.archives import open_archive
from cleaner.dataset.images import read_image
from cleaner.dataset.locations import read_bytes
from cleaner.dataset.tree_lists import split_of
from cleaner.errors import BadInputError
from tests.support.scanned import picture, scan

NUM, CLASSES = 12, ("cat", "007", "a/b")


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def label_of(number: int) -> str:
    return CLASSES[number % len(CLASSES)]


def write_shards(folder: Path, **extra: Any) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder.mkdir(parents=True)
    with webdataset.ShardWriter(f"{folder}/set-train-%04d.tar", maxcount=8, verbose=0) as sink:
        for i in range(NUM):
            sink.write({"__key__": f"{i:04d}", "jpg": jpeg(i), **{k: v(i) for k, v in extra.items()}})


def hugging_face() -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    rows = [{"bytes": jpeg(i), "path": f"{i}.jpg"} for i in range(NUM)]
    return datasets.Dataset.from_dict({"image": rows, "label": [i % 3 for i in range(NUM)]}, features=features)


def require_all(manifest: pd.DataFrame, root: Path, numbers: dict[str, int]) -> None:
    """Every image is there with its label, and its bytes are those that were written."""
    assert set(manifest.index) == set(numbers) and manifest["readable"].all()
    for name, number in numbers.items():
        assert manifest.loc[name, "label"] == label_of(number)
        assert read_image(root / name, manifest.loc[name, "image_id"]) == jpeg(number)


@pytest.mark.parametrize("how", ["cls", "json"])
def test_shards_of_webdataset_are_read_in_place(how: str, tmp_path: Path) -> None:
    said = {"cls": {"cls": lambda i: label_of(i)}, "json": {"json": lambda i: {"label": label_of(i), "n": i}}}[how]
    write_shards(tmp_path / "in", **said)
    manifest, result = scan(tmp_path / "in", tmp_path / "work")
    require_all(manifest, tmp_path / "in", {f"set-train-{i // 8:04d}.tar/{i:04d}.jpg": i for i in range(NUM)})
    assert set(manifest["split"]) == {"train"} and result.record.counts["kept"] == NUM
    assert (manifest["file_bytes"] > 0).all()
    again, second = scan(tmp_path / "in", tmp_path / "work")
    assert second.was_current and again.equals(manifest)


def test_a_list_may_name_what_lies_in_a_shard(tmp_path: Path) -> None:
    write_shards(tmp_path / "in")
    with pytest.raises(BadInputError, match="have no label"):
        scan(tmp_path / "in", tmp_path / "work")
    names = [f"set-train-{i // 8:04d}.tar/{i:04d}.jpg" for i in range(NUM)]
    pd.DataFrame({"file_name": names, "label": [label_of(i) for i in range(NUM)]}).to_csv(tmp_path / "l.csv")
    manifest, _ = scan(tmp_path / "in", tmp_path / "work", labels_file=str(tmp_path / "l.csv"))
    require_all(manifest, tmp_path / "in", {name: i for i, name in enumerate(names)})


def test_a_tar_of_class_folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "set.tar", "w") as tar:
        for i in range(4):
            one = tarfile.TarInfo(f"./{'cat' if i % 2 else 'dog'}/{i}.jpg")
            one.size = len(jpeg(i))
            tar.addfile(one, io.BytesIO(jpeg(i)))
    manifest, _ = scan(tmp_path / "in", tmp_path / "work")
    assert manifest["label"].to_dict() == {
        f"set.tar/{'cat' if i % 2 else 'dog'}/{i}.jpg": "cat" if i % 2 else "dog" for i in range(4)
    }


def test_parquet_of_datasets_has_the_names_of_its_classes(tmp_path: Path) -> None:
    (tmp_path / "in" / "data").mkdir(parents=True)
    hugging_face().to_parquet(tmp_path / "in" / "data" / "train-00000-of-00001.parquet", batch_size=5)
    hugging_face().to_parquet(tmp_path / "in" / "data" / "validation-00000-of-00001.parquet")
    manifest, _ = scan(tmp_path / "in", tmp_path / "work")
    parts = {"train": "train-00000-of-00001", "val": "validation-00000-of-00001"}
    names = {f"data/{file}.parquet/{i:02d}": i for file in parts.values() for i in range(NUM)}
    require_all(manifest, tmp_path / "in", names)
    assert manifest["split"].value_counts().to_dict() == {"train": NUM, "val": NUM}


def test_saved_datasets_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    both = datasets.DatasetDict({"train": hugging_face(), "test": hugging_face().select(range(4))})
    both.save_to_disk(str(tmp_path / "in"))
    manifest, _ = scan(tmp_path / "in", tmp_path / "work")
    names = {f"train/data-00000-of-00001.arrow/{i:02d}": i for i in range(NUM)}
    names |= {f"test/data-00000-of-00001.arrow/{i}": i for i in range(4)}
    require_all(manifest, tmp_path / "in", names)
    assert (manifest["split"] == [name.split("/")[0] for name in manifest.index]).all()


def test_the_column_of_labels_is_asked_for_and_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    images = pa.array([{"bytes": jpeg(i), "path": None} for i in range(4)])
    table = pa.table({"image": images, "breed": ["x", "y", "x", "y"], "size": ["s", "m", "m", "s"]})
    pq.write_table(table, tmp_path / "in" / "dogs.parquet")
    with pytest.raises(BadInputError, match="which column is the label") as refused:
        scan(tmp_path / "in", tmp_path / "work")
    assert "--columns label=NAME" in str(refused.value)
    manifest, _ = scan(tmp_path / "in", tmp_path / "work", columns=("label=breed",))
    assert manifest["label"].tolist() == ["x", "y", "x", "y"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_imagefolder_with_metadata_as_hugging_face_reads_it(suffix: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    root = tmp_path / "in"
    for split, start in (("train", 0), ("test", 6)):
        (root / split / "pictures").mkdir(parents=True)
        names = [f"pictures/{i}.jpg" for i in range(start, start + 6)]
        for i, name in enumerate(names, start):
            (root / split / name).write_bytes(jpeg(i))
        frame = pd.DataFrame({"file_name": names, "label": [label_of(i) for i in range(start, start + 6)]})
        path = root / split / f"metadata.{suffix}"
        if suffix == "csv":
            frame.to_csv(path, index=False)
        elif suffix == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
    manifest, _ = scan(root, tmp_path / "work")
    numbers = {f"{'train' if i < 6 else 'test'}/pictures/{i}.jpg": i for i in range(NUM)}
    require_all(manifest, root, numbers)
    theirs = datasets.load_dataset("imagefolder", data_dir=str(root), cache_dir=str(tmp_path / "cache"))
    for split, mine in manifest.groupby("split"):
        # a CSV without types gives them 7 for 007: what we keep is the text
        ours = sorted(label.lstrip("0") or label for label in mine["label"])
        assert sorted(str(one).lstrip("0") for one in theirs[split]["label"]) == ours


def test_loose_images_leave_archives_alone(tmp_path: Path) -> None:
    (tmp_path / "in" / "cat").mkdir(parents=True)
    (tmp_path / "in" / "cat" / "1.jpg").write_bytes(jpeg(1))
    with tarfile.open(tmp_path / "in" / "cat" / "old.tar", "w") as tar:
        tar.add(tmp_path / "in" / "cat" / "1.jpg", "2.jpg")
    manifest, _ = scan(tmp_path / "in", tmp_path / "work")
    assert manifest["readable"].to_dict() == {"cat/1.jpg": True, "cat/old.tar": False}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("set.zip", "unzip"),
        ("set.tar.gz", "plain .tar"),
        ("data-00000.tfrecord", "WebDataset shards"),
        ("train.lmdb/data.mdb", "WebDataset shards"),
        ("images.dvc", "dvc pull"),
        ("train.parquet", "datasets.Image"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_helps(name: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / "data" / name
    path.parent.mkdir(parents=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"path": ["a.jpg"], "label": ["cat"]}), path)
    else:
        path.write_bytes(b"PK\x03\x04 or something else")
    with pytest.raises(BadInputError, match="no images that can be read") as refused:
        scan(tmp_path / "in", tmp_path / "work")
    assert advice in str(refused.value) and f"data/{name}" in str(refused.value)
    assert not (tmp_path / "work" / "scan" / "stage.json").exists()


def test_bad_members_are_missing_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([{"bytes": jpeg(0), "path": "a"}])}), tmp_path / "t.parquet")
    for name in ("7", "x", "-1", "0/0"):
        with pytest.raises(OSError):
            read_bytes(tmp_path / "t.parquet" / name)
    with pytest.raises(OSError):
        read_bytes(tmp_path / "t.parquet" / "0" / "a")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(NotADirectoryError):
        read_bytes(tmp_path / "file.txt" / "a")
    (tmp_path / "bad.tar").write_bytes(b"no tar")
    with pytest.raises(ValueError):
        open_archive(tmp_path / "bad.tar")
    with pytest.raises(OSError):
        read_bytes(tmp_path / "bad.tar" / "1.jpg")


def test_a_shard_that_is_written_again_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for number in (0, 1):
        pq.write_table(pa.table({"image": pa.array([{"bytes": jpeg(number), "path": "a"}])}), path)
        assert read_bytes(path / "0") == jpeg(number)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet/00", "train"),
        ("data/validation-0.parquet/0", "val"),
        ("test/data-00000.arrow/0", "test"),
        ("imagenet_val.tar/a/1.jpg", "val"),
        ("shard-0001.tar/trained.jpg", "train"),
    ],
)
def test_the_split_is_in_the_name_of_the_file_or_its_folder(name: str, split: str) -> None:
    inside = name if not name.endswith("a/1.jpg") else "imagenet_val.tar/1.jpg"
    assert split_of(inside) == split


def test_pictures_inside_files_pass_all_stages(tmp_path: Path) -> None:
    """Embedded, judged, shown and exported from where they lie."""
    from cleaner.config import LabelsSettings, NoiseSettings, RunOptions
    from cleaner.dataset.thumbnails import Shrinker
    from cleaner.dataset.workspace import Workspace
    from cleaner.report.thumbnails import Thumbnails
    from cleaner.stages.labels.run import run_labels
    from cleaner.stages.noise import run_noise
    from tests.support.backbones import SMALL

    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        buffer = io.BytesIO()
        pixels = rng.integers(0, 60, (48, 48, 3)) + np.array([[[190, 0, 0], [0, 190, 0], [0, 0, 190]][i % 3]])
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    (tmp_path / "in").mkdir()
    table = pa.table({"image": pa.array(rows), "label": [["red", "green", "blue"][i % 3] for i in range(60)]})
    pq.write_table(table, tmp_path / "in" / "train.parquet", row_group_size=7)
    scan(tmp_path / "in", tmp_path / "work", near_radius=0)
    workspace, options = Workspace(tmp_path / "work"), RunOptions(workers=2)
    run_noise(workspace, NoiseSettings(embedding=SMALL), options)
    run_labels(workspace, LabelsSettings(embedding=SMALL), options)
    found = workspace.read("labels")
    assert len(found) == 60 and (found["predicted_label"] == found["label"]).mean() > 0.9
    shrinker = Shrinker(1, max_pixels=100_000_000, file_timeout_s=30)
    with closing(shrinker):
        shown = Thumbnails(tmp_path / "in", shrinker)
        assert not shown.picture(found["file_name"].iloc[0], found["image_id"].iloc[0]).missing

    from cleaner.exports.contents import find_sources
    from cleaner.exports.files import ExportedFile, place_file

    kept = found[found["keep"]].head(3)
    for mode in ("hardlink", "symlink", "copy"):
        for source, name, key in zip(
            find_sources(kept, tmp_path / "in"), kept["file_name"], kept["image_id"], strict=True
        ):
            target = PurePosixPath(mode) / f"{Path(name).name}.png"
            place_file(tmp_path / "out", ExportedFile(source, target, image_id=key), mode)
            assert (tmp_path / "out" / target).read_bytes() == rows[int(Path(name).name)]["bytes"]
