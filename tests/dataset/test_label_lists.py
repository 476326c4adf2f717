"""Lists of labelled images, as the scan reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from cleaner.errors import BadInputError
from tests.support.scanned import Recorder, make_tree, picture, save, scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "images")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


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
