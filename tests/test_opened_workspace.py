"""The workspace of Python programs: its tables, the dataset and weights against the manifest, export, report, HTML."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch.utils.data import DataLoader, WeightedRandomSampler

import cleaner
from tests.support.backbones import SMALL
from tests.support.program import Program, draw_set
from tests.support.scanned import picture, save

FULL = cleaner.BalanceSettings(floor=1.0, embedding=SMALL)
"""Every class is repeated up to the largest."""


@pytest.fixture
def work(small_copy: Path) -> cleaner.Workspace:
    """A cleaned set with classes of several sizes, each repeated up to the largest."""
    work = cleaner.open_workspace(small_copy)
    cleaner.balance(work, FULL)
    return work


def kept_of(work: cleaner.Workspace) -> pd.DataFrame:
    manifest = work.manifest("balance")
    kept = manifest.loc[manifest["keep"]]
    assert (kept["repeats"] > 1).any() and len(kept) < len(manifest)
    return kept


def test_dataset(work: cleaner.Workspace, small_images: Path) -> None:
    kept = kept_of(work)
    dataset = work.to_torch_dataset()
    assert Counter(dataset.file_names) == dict(zip(kept["file_name"], kept["repeats"], strict=True))
    assert dataset.classes == sorted(set(kept["clean_label"])) == list(dataset.class_to_idx)
    label_of = dict(zip(kept["file_name"], kept["clean_label"], strict=True))
    assert [dataset.classes[t] for t in dataset.targets] == [label_of[name] for name in dataset.file_names]
    plain = next(i for i, name in enumerate(dataset.file_names) if name.endswith(".png"))
    image, number = dataset[plain]
    assert number == dataset.targets[plain] and image.mode == "RGB"
    with Image.open(small_images / "images" / dataset.file_names[plain]) as source:
        assert image.size == source.size
    assert pickle.loads(pickle.dumps(dataset))[plain][0] == image  # workers of a DataLoader that are spawned


def test_dataset_has_the_labels_that_count(small_copy: Path, program: Program) -> None:
    work = cleaner.open_workspace(small_copy)
    kept = work.manifest("balance").query("keep")
    name, other = kept["file_name"].iloc[0], kept["clean_label"].iloc[-1]
    assert program("decide", name, "--label", other, "-C", small_copy).exit_code == 0
    with pytest.raises(cleaner.CleanerError, match="people decided more since"):
        work.to_torch_dataset()
    cleaner.labels(work, cleaner.LabelsSettings(embedding=SMALL))
    cleaner.balance(work, FULL)
    dataset = work.to_torch_dataset(repeats=False)
    assert dataset.classes[dataset.targets[dataset.file_names.index(name)]] == other


def test_weights_go_with_the_dataset(work: cleaner.Workspace) -> None:
    kept = kept_of(work)
    weights, dataset = work.sampler_weights(), work.to_torch_dataset(transform=np.array, repeats=False)
    assert list(weights.index) == dataset.file_names and len(dataset) == len(kept)
    assert weights.sum() == pytest.approx(kept["repeats"].sum())
    of_class = pd.Series(weights.to_numpy()).groupby(dataset.targets).sum()
    np.testing.assert_allclose(of_class, of_class.max())  # as floor=1 asks
    sampler = WeightedRandomSampler(weights.tolist(), num_samples=4)
    batches = list(DataLoader(dataset, batch_size=None, sampler=sampler))
    assert len(batches) == 4 and all(pixels.ndim == 3 for pixels, _ in batches)


def test_splits(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / "images" / ("val" if i > 3 else "train") / "ab"[i % 2] / f"{i}.png", picture(i))
    work = cleaner.open_workspace(tmp_path / "work")
    cleaner.scan(work, tmp_path / "images")
    assert work.to_torch_dataset("val").file_names == ["val/a/4.png", "val/b/5.png"]
    assert len(work.sampler_weights()) == 4
    with pytest.raises(cleaner.CleanerError, match=r"(?s)no split 'test'.*train, val"):
        work.to_torch_dataset("test")
    changed = work.to_torch_dataset()
    save(tmp_path / "images" / "train" / "a" / "0.png", picture(9))
    with pytest.raises(cleaner.CleanerError, match=r"train/a/0\.png"):
        changed[0]


def test_frames(work: cleaner.Workspace) -> None:
    assert [name for name in work.frames if "/" not in name] == ["scan", "noise", "labels", "balance"]
    assert {"noise/rounds", "labels/classes", "labels/rounds", "balance/classes"} <= set(work.frames)
    assert work.frames["noise"] is work.frames["noise"]
    pd.testing.assert_frame_equal(work.frames["noise"], work.manifest("noise"))
    assert set(work.frames["labels/classes"]["label"]) == set(work.frames["labels"].query("fold >= 0")["label"])
    before = work.frames["balance"]["repeats"]
    cleaner.balance(work, cleaner.BalanceSettings(floor=0, embedding=SMALL))
    assert work.frames["balance"]["repeats"].max() == 1 < before.max()
    assert "absent" not in work.frames and len(work.frames) == len(list(work.frames))
    with pytest.raises(KeyError, match="labels/rounds"):
        work.frames["absent"]


def test_export_and_report(work: cleaner.Workspace, tmp_path: Path) -> None:
    table = work.export(tmp_path / "clean.parquet")
    assert len(pd.read_parquet(table.out)) == table.num_files == len(kept_of(work)) and "read_parquet" in table.use
    folder = work.export(tmp_path / "clean", options=cleaner.ExportOptions(mode="symlink"))
    assert folder.classes == work.to_torch_dataset().classes
    assert all(path.is_symlink() for path in (tmp_path / "clean").rglob("*.png"))
    assert work.report(tmp_path / "page.html").json == tmp_path / "page.json"
    options = cleaner.ExportOptions
    for arguments, message in [
        (("a", "zip"), "'zip'"),
        (("a", "folder", options(mode="hard")), "mode"),  # type: ignore[arg-type]
        (("a.csv", None, options(shard_mb=3)), "--shard-mb"),
        (("clean.parquet",), "already exists"),
    ]:
        with pytest.raises(cleaner.CleanerError, match=message):
            work.export(*[tmp_path / arguments[0], *arguments[1:]])
    with pytest.raises(cleaner.CleanerError, match="ends in"):
        work.report(tmp_path / "page.txt")


def test_how_it_shows_itself(tmp_path: Path) -> None:
    work = cleaner.open_workspace(tmp_path / "<work> & more")
    assert "no stage has run" in work._repr_html_() and "last stage: none" in repr(work)
    images = draw_set(tmp_path / "images")
    (images / "cat" / "empty.png").touch()
    cleaner.scan(work, images)
    page = work._repr_html_()
    assert "<td>scan</td><td>6 of 7</td><td>unreadable 1</td>" in page
    assert "&lt;work&gt; &amp; more" in page and "last stage: scan" in repr(work)
