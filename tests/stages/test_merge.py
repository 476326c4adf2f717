"""Scans that were made apart, merged: equal to one scan over all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError, UsageError
from cleaner.stages.merge import run_merge
from cleaner.stages.scan import run_scan
from tests.support.places import SAMPLE
from tests.support.scanned import make_tree, picture, save

OPTIONS = RunOptions(workers=1)


def scan(root: Path, work: Path, **settings: object) -> pd.DataFrame:
    run_scan(Workspace(work), root, ScanSettings(**settings), OPTIONS)  # type: ignore[arg-type]
    return Workspace(work).read("scan")


def merge(out: Path, *shards: Path) -> pd.DataFrame:
    run_merge([Workspace(shard) for shard in shards], Workspace(out), OPTIONS)
    return Workspace(out).read("scan")


def two_roots(tmp_path: Path) -> Path:
    """`all/one` and `all/two`: real pictures, copies between the two and inside of one, faults, equal names."""
    tree = tmp_path / "all"
    classes = sorted(p for p in (SAMPLE / "images").iterdir() if p.is_dir())[:3]
    for folder in classes:
        pictures = sorted(p for p in folder.iterdir() if p.is_file() and not p.is_symlink())[:12]
        for number, path in enumerate(pictures):
            target = tree / ("one", "two")[number % 2] / folder.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    label = classes[0].name
    for name, seed in (("same.png", 1), ("same.png", 2)):
        save(tree / ("one" if seed == 1 else "two") / label / name, picture(seed))
    save(tree / "one" / label / "exact.png", picture(7))
    save(tree / "two" / label / "exact-too.png", picture(7))
    save(tree / "two" / classes[1].name / "conflict.png", picture(7))
    save(tree / "one" / label / "large.png", picture(9, 192, 144))
    save(tree / "two" / label / "small.jpg", picture(9, 192, 144).resize((96, 72)), quality=80)
    (tree / "two" / label / "empty.jpg").touch()
    return tree


def test_it_equals_one_scan_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = two_roots(tmp_path)
    expected = scan(tree, tmp_path / "together", label_from="parent")
    assert {"exact", "near"} <= set(expected["duplicate_kind"]) and expected["label_conflict"].any()
    for name in ("one", "two"):
        scan(tree / name, tmp_path / name)
        shutil.rmtree(tmp_path / name / "cache" / "scan")  # what it takes lies in the scan's own folder
    read: list[str] = []
    monkeypatch.setattr("cleaner.dataset.inspection.inspect_batch", lambda batch: read.append("a batch"))
    merged = merge(tmp_path / "merged", tmp_path / "one", tmp_path / "two")
    assert read == []  # no image was read again
    pd.testing.assert_frame_equal(merged, expected)


def test_a_root_that_changed_since_is_read_again(tmp_path: Path) -> None:
    tree = two_roots(tmp_path)
    for name in ("one", "two"):
        scan(tree / name, tmp_path / name)
    label = sorted(p.name for p in (tree / "one").iterdir())[0]
    save(tree / "one" / label / "same.png", picture(3))
    merged = merge(tmp_path / "merged", tmp_path / "one", tmp_path / "two")
    expected = scan(tree, tmp_path / "together", label_from="parent")
    pd.testing.assert_frame_equal(merged, expected)


def test_roots_of_one_name_are_numbered_and_decisions_come_along(tmp_path: Path) -> None:
    for name in ("x", "y"):
        root = make_tree(tmp_path / name / "photos")
        manifest = scan(root, tmp_path / name / "work")
        key = manifest["image_id"].iloc[0 if name == "x" else 1]
        DecisionStore(tmp_path / name / "work" / "decisions.sqlite").add("image", key, "noise", annotator=name)
    shards = (tmp_path / "x" / "work", tmp_path / "y" / "work")
    merged = merge(tmp_path / "merged", *shards)
    assert set(merged["file_name"].str.split("/").str[0]) == {"photos", "photos-2"} and len(merged) == 24
    assert merged["keep"].sum() == 12  # the two roots hold the same pictures
    verdicts = DecisionStore(tmp_path / "merged" / "decisions.sqlite").image_verdicts()
    assert len(verdicts) == 2 and set(verdicts["verdict"]) == {"noise"}
    result = run_merge([Workspace(s) for s in shards], Workspace(tmp_path / "merged"), OPTIONS)
    assert result.was_current


def test_what_cannot_be_merged_is_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "in")
    scan(root, tmp_path / "one")
    scan(root, tmp_path / "two", near_radius=3)
    with pytest.raises(UsageError, match="other settings") as refused:
        merge(tmp_path / "merged", tmp_path / "one", tmp_path / "two")
    assert "near_radius 3" in str(refused.value)
    with pytest.raises(StaleStageError, match="no scan"):
        merge(tmp_path / "merged", tmp_path / "one", tmp_path / "absent")
    (tmp_path / "merged" / "images" / "own").mkdir(parents=True)
    with pytest.raises(BadInputError, match="not a link"):
        merge(tmp_path / "merged", tmp_path / "one", tmp_path / "one")
    assert not (tmp_path / "merged" / "scan").exists()
