"""`cleaner scan`: exit codes, and names under any locale."""

from __future__ import annotations

import os
from pathlib import Path

from cleaner.dataset.manifest import read_manifest
from tests.support.process import cleaner
from tests.support.program import Program, draw_set


def test_a_scan_that_keeps_nothing_writes_its_manifest_and_ends_in_3(program: Program, tmp_path: Path) -> None:
    draw_set(tmp_path / "disk")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/cat").symlink_to(tmp_path / "disk/cat")
    done = program("scan", "images", "-C", "work")
    assert done.exit_code == 3 and "no image is kept" in done.err and "--follow-symlinks" in done.err
    assert "next: cleaner" not in done.out and (tmp_path / "work/scan/stage.json").exists()
    done = program("run", "images", "-C", "work", "--json")
    assert done.exit_code == 3 and done.document("stage")["counts"]["kept"] == 0
    assert program("scan", "images", "-C", "work", "--follow-symlinks").exit_code == 0


def test_splits_and_columns_are_typed_with_commas_or_one_by_one(program: Program, tmp_path: Path) -> None:
    draw_set(tmp_path / "images/seen")
    draw_set(tmp_path / "images/un,seen", num=1)
    done = program("scan", "images", "--splits", "train=seen,val=un,seen", "-C", "work")
    assert done.exit_code == 0 and "train 6 · val 2" in done.out
    assert program("scan", "images", "--splits", "train=seen", "--splits", "val=un,seen", "-C", "work").exit_code == 0
    done = program("scan", "images", "--splits", "seen", "-C", "work")
    assert done.exit_code == 2 and "NAME=FOLDER" in done.err
    done = program("scan", "images", "--labels", "list.csv", "--columns", "name=x", "-C", "work")
    assert done.exit_code == 2 and "file, label, split, annotator" in done.err


def test_file_names_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    draw_set(tmp_path / "images", num=1)
    (tmp_path / "images/cat").rename(tmp_path / "images/größe")
    (tmp_path / "images/dog/0.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/images/dog/\xe9.png"))
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = cleaner("scan", "images", "-C", "work", cwd=tmp_path, **locale)
    assert done.returncode == 0, done.stderr
    rows = read_manifest(tmp_path / "work/scan/manifest.parquet")
    assert rows["keep"].all() and rows["label"].tolist() == ["dog", "größe"]
    assert rows["file_name"].tolist() == [r"dog/\xe9.png", "größe/0.png"]
    done = cleaner("explain", "images/größe/0.png", "-C", "work", cwd=tmp_path, **locale)
    assert done.returncode == 0 and "größe" in done.stdout, done.stderr
