"""What the kinds share, and what each does with formats, splits, repeats and shards."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from datasets import load_dataset
from torchvision.datasets import ImageFolder

from cleaner.errors import BadInputError, UsageError
from cleaner.exports.kind import ExportOptions, find_kind, kind_names, load_kind
from tests.exports.readers import by_webdataset, digest
from tests.support.exports import files_of, gone, make_set, write_to

TABLES = ("csv", "jsonl", "parquet", "weights")
FOLDERS = ("folder", "hf", "wds", "fiftyone", "label-studio")


def test_each_kind_is_called_as_its_module_and_says_what_it_is() -> None:
    known = {field.name for field in dataclasses.fields(ExportOptions)}
    for name in kind_names():
        kind = load_kind(name)
        assert kind.name == name and kind.title and kind.options <= known
    assert {*TABLES, *FOLDERS, "datalab", "embeddings", "pred-probs", "keep-list", "drop-list"} == set(kind_names())


def test_the_suffix_tells_a_table_and_must_fit(tmp_path: Path) -> None:
    told = {name: find_kind(None, Path(name)).name for name in ("a.csv", "a.TSV", "a.jsonl", "a.pq", "a", "a.txt")}
    assert list(told.values()) == ["csv", "csv", "jsonl", "parquet", "folder", "folder"]
    load_kind("csv").require({"dropped", "verify"}, Path("a.csv"))
    with pytest.raises(UsageError, match="--mode: of no use with --to csv"):
        load_kind("csv").require({"mode"}, Path("a.csv"))
    with pytest.raises(UsageError, match=r"ends in \.parquet or \.pq"):
        load_kind("parquet").require(set(), Path("a.csv"))


@pytest.mark.parametrize("kind", [*TABLES, *FOLDERS, "keep-list", "drop-list"])
def test_a_dry_run_writes_nothing_and_counts_the_same(
    small_export: pd.DataFrame, images_root: Path, tmp_path: Path, kind: str
) -> None:
    suffix = (*load_kind(kind).suffixes, "")[0]
    before = sorted(tmp_path.rglob("*"))
    would = write_to(kind, small_export, images_root, tmp_path / f"out{suffix}", dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    done = write_to(kind, small_export, images_root, tmp_path / f"out{suffix}")
    assert would == done and done.num_files + done.num_dropped in (1, 5)
    with pytest.raises(UsageError, match="already exists"):
        write_to(kind, small_export, images_root, tmp_path / f"out{suffix}")


@pytest.mark.parametrize("kind", ["folder", "hf", "wds", "fiftyone"])
def test_formats_that_a_reader_does_not_know_are_refused_or_converted(
    images_root: Path, tmp_path: Path, kind: str
) -> None:
    manifest = make_set(images_root, [{"file_name": "cat/1.gif"}, {"file_name": "dog/1.jpg"}])
    manifest.loc[0, "format"] = "GIF" if kind in ("folder", "wds") else "JXL"
    with pytest.raises(BadInputError) as refused:
        write_to(kind, manifest, images_root, tmp_path / "out")
    assert "--convert" in refused.value.next_step and not (tmp_path / "out").exists()
    write_to(kind, manifest, images_root, tmp_path / "out", convert=True)
    names = files_of(tmp_path / "out")
    if kind == "wds":
        with tarfile.open(tmp_path / "out/train-000000.tar") as shard:
            names = shard.getnames()
    assert sum(name.endswith(".png") for name in names) == 1


def test_repeats_are_columns_and_weights_sum_to_them(images_root: Path, tmp_path: Path) -> None:
    rows = [{"file_name": f"cat/{i}.png", "repeats": 1 + (i < 2)} for i in range(3)]
    manifest = make_set(images_root, [*rows, {"file_name": "dog/1.png"}])
    result = write_to("folder", manifest, images_root, tmp_path / "out")
    assert len(ImageFolder(str(tmp_path / "out"))) == 4 and result.num_repeats == 0
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert table["repeats"].tolist() == [2, 2, 1, 1] and table["weight"].round(6).tolist() == [1.666667] * 3 + [1.0]
    assert "WeightedRandomSampler" in result.use
    write_to("weights", manifest, images_root, tmp_path / "weights.csv")
    weights = pd.read_csv(tmp_path / "weights.csv")
    assert weights["weight"].sum() == pytest.approx(weights["repeats"].sum()) == 6
    ignored = write_to("folder", manifest, images_root, tmp_path / "ignored", repeats="ignore")
    assert "weight" not in pd.read_csv(tmp_path / "ignored/images.csv") and "Weighted" not in ignored.use


def test_splits_of_any_name(images_root: Path, tmp_path: Path) -> None:
    rows = [
        {"file_name": f"{s}/cat/1.png", "label": "cat", "split": s} for s in ("train", "val", "held-out", "held out")
    ]
    manifest = make_set(images_root, rows)
    write_to("hf", manifest, images_root, tmp_path / "hf")
    data = load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert {name: rows["source"] for name, rows in data.items()} == {
        "train": ["train/cat/1.png"],
        "val": ["val/cat/1.png"],
        "held_out": ["held out/cat/1.png"],
        "held_out_2": ["held-out/cat/1.png"],
    }
    write_to("wds", manifest, images_root, tmp_path / "wds")
    assert set(json.loads((tmp_path / "wds/_info.json").read_text())["splits"]) == set(data)
    write_to("fiftyone", manifest, images_root, tmp_path / "fo")
    assert json.loads((tmp_path / "fo/val/labels.json").read_text())["classes"] == ["cat"]


def test_shards_end_when_they_are_large_and_repeat_on_request(images_root: Path, tmp_path: Path) -> None:
    rows = [{"file_name": f"cat/{i}.png", "repeats": 3} for i in range(3)]
    manifest = make_set(images_root, rows)
    big = (images_root / "cat/1.png").read_bytes() + b"\0" * (1 << 20)  # data after its end does no harm
    (images_root / "cat/1.png").write_bytes(big)
    manifest.loc[1, ["image_id", "file_bytes"]] = digest(big), len(big)
    result = write_to("wds", manifest, images_root, tmp_path / "out", shard_mb=1, repeats="files")
    info = json.loads((tmp_path / "out/_info.json").read_text())["splits"]["train"]
    assert info["shard_lengths"] == [4, 1, 1, 3] and info["num_samples"] == 9 and result.num_repeats == 6
    assert by_webdataset(tmp_path / "out") == [("cat", i) for i in manifest["image_id"] for _ in range(3)]
    write_to("wds", manifest, images_root, tmp_path / "again", shard_mb=1, repeats="files")
    assert all(
        (tmp_path / "out" / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files_of(tmp_path / "out")
    )


def test_lists_of_names(images_root: Path, tmp_path: Path) -> None:
    manifest = make_set(
        images_root, [{"file_name": "cat/1.png"}, {"file_name": "ü/2.png", **gone("scan", "unreadable")}]
    )
    manifest.loc[0, "file_name"] = r"cat/caf\xe9.png"
    (images_root / "cat/1.png").rename(images_root / "cat/caf\udce9.png")
    write_to("keep-list", manifest, images_root, tmp_path / "keep.txt", verify=True)
    assert (tmp_path / "keep.txt").read_bytes() == b"cat/caf\xe9.png\n"
    write_to("drop-list", manifest, images_root, tmp_path / "drop.txt")
    assert (tmp_path / "drop.txt").read_text() == "ü/2.png\n"


def test_bytes_that_changed_are_in_no_shard(images_root: Path, tmp_path: Path) -> None:
    manifest = make_set(images_root, [{"file_name": "cat/1.png"}])
    data = (images_root / "cat/1.png").read_bytes()
    (images_root / "cat/1.png").write_bytes(data[:-1] + b"x")
    with pytest.raises(BadInputError, match="changed since the scan"):
        write_to("wds", manifest, images_root, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
