"""Lists of labelled images, as the scan reads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.label_lists import read_labels
from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.explain import explain_images
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
        ("file_name,label\na/00.png,x\n./a/00.png,y\n", "row 3.*other values"),
        ("file_name,label\n/a/00.png,x\n", "row 2"),
        ("file_name,label,annotator\na/00.png,x,ann\na/00.png,y,ann\n", "row 3.*other values"),
        ("file_name,label,split,annotator\na/00.png,x,val,a\na/00.png,x,train,b\n", "row 3.*other values"),
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


def test_lists_as_programs_write_them(root: Path, work: Path) -> None:
    rows = [("a/00.png", "ü"), ("b/01.png", "x;y"), ("a/03.png", "007")]
    csv = "".join(f'"{name}";"{label}"\r\n' for name, label in [("file_name", "label"), *rows])
    lines = [json.dumps({"label": label, "file_name": name, "box": [1]}) for name, label in rows]
    texts = {
        "excel.csv": csv.encode("utf-8-sig"),
        "unicode.csv": csv.replace('";"', '"\t"').encode("utf-16"),
        "index.csv": b",file_name,label,\n0,a/00.png,\xc3\xbc,\n,,,\n1,b/01.png,x;y,,\n2,a/03.png,007,\n,,,\n",
        "spaced.csv": "file_name, label\n./a/00.png, ü\nb/01.png, x;y\na/03.png, 007\na/00.png, ü\n".encode(),
        "bars.tsv": b"file_name|label\na/00.png|\xc3\xbc\nb/01.png|x;y\na/03.png|007\n",
        "absolute.csv": "".join(f"{root}/{n},{v}\n" for n, v in rows).join(["file_name,label\n", ""]).encode(),
        "lines.jsonl": "\n\n".join(lines).encode("utf-16"),
    }
    for name, data in texts.items():
        (work.parent / name).write_bytes(data)
        manifest, _ = scan(root, work, labels_file=str(work.parent / name))
        assert manifest["label"].to_dict() == dict(rows), name


def test_json_lines_that_are_none(tmp_path: Path) -> None:
    for text, message in {
        '{"file_name": "a", "label": ["x"]}\n': "label is missing",
        '{"file_name": "a", "label": 1}\n{"file_name"\n': "line 2: not valid JSON",
        "[1]\n": "line 1: not a JSON object",
    }.items():
        (tmp_path / "labels.jsonl").write_text(text)
        with pytest.raises(BadInputError, match=message):
            read_labels(tmp_path / "labels.jsonl", tmp_path, [])
    (tmp_path / "labels.jsonl").write_text('{"file_name": "a", "label": 7}\n{"file_name": "b", "label": 1e2}\n')
    listed = read_labels(tmp_path / "labels.jsonl", tmp_path, []).table
    assert listed["label"].tolist() == ["7", "1e2"]


def test_columns_of_other_names_and_files_outside_the_root(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,class,fold\n/data/x/1.jpg,owl,val\n/data/y/2.jpg,fox,train\n")
    columns = {"file": "path", "label": "class", "split": "fold"}
    listed = read_labels(tmp_path / "list.csv", Path("/data"), [], columns)
    assert listed.table.values.tolist() == [["x/1.jpg", "owl", "val"], ["y/2.jpg", "fox", "train"]]
    with pytest.raises(BadInputError, match="--columns"):
        read_labels(tmp_path / "list.csv", Path("/data"), [])
    with pytest.raises(BadInputError, match="1 file names that are not below") as error:
        read_labels(tmp_path / "list.csv", Path("/data/x"), [], columns)
    assert error.value.next_step.endswith("cleaner scan /data")


def test_one_row_for_each_annotator(root: Path, work: Path) -> None:
    rows = [
        *(("a/00.png", label, who) for label, who in (("cat", "ann"), ("dog", "bob"), ("cat", "cy"), ("cat", "cy"))),
        *(("a/03.png", label, who) for label, who in (("owl", ""), ("dog", "bob"))),
        ("b/01.png", "dog", "ann"),
    ]
    table = work.parent / "votes.csv"
    pd.DataFrame(rows, columns=["file_name", "label", "worker"]).to_csv(table, index=False)
    recorder = Recorder()
    columns = ("annotator=worker",)
    manifest, result = scan(root, work, labels_file=str(table), columns=columns, progress=recorder)
    assert manifest["label"].to_dict() == {"a/00.png": "cat", "a/03.png": "dog", "b/01.png": "dog"}
    assert "divided over 1 files" in recorder.warnings[0] and "a/03.png" in recorder.warnings[0]
    votes = pd.read_parquet(work / "scan/votes.parquet")
    assert votes[["file_name", "label", "votes"]].values.tolist() == [
        ["a/00.png", "cat", 2],
        ["a/00.png", "dog", 1],
        ["a/03.png", "dog", 1],
        ["a/03.png", "owl", 1],
        ["b/01.png", "dog", 1],
    ]
    assert votes["share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0.5, 0.5, 1])
    assert "votes.parquet" in result.record.outputs
    (told,) = explain_images(Workspace(work), ["a/00.png"], num_neighbours=0)
    assert "annotators' votes: cat 2, dog 1" in told.stages[0]["words"]
    scan(root, work)
    assert not (work / "scan/votes.parquet").exists()


def test_listed_names_match_in_any_unicode_form(root: Path, work: Path) -> None:
    save(root / "a/e\u0301.png", picture(20))
    (root / "labels.csv").write_text("file_name,label\na/\u00e9.png,x\nb/01.png,y\na/e\u0301.png,x\n")
    manifest, _ = scan(root, work, labels_file=str(root / "labels.csv"))
    assert manifest["fault"].to_dict() == {"a/e\u0301.png": "", "b/01.png": ""}


def test_numbers_become_names_of_classes(root: Path, work: Path) -> None:
    (root / "labels.csv").write_text("file_name,label\na/00.png,2\nb/01.png,1.0\na/03.png,02\n")
    (root / "names.txt").write_text("owl\nfox\n")
    manifest, _ = scan(root, work, labels_file=str(root / "labels.csv"), class_names=str(root / "names.txt"))
    assert manifest["label"].to_dict() == {"a/00.png": "fox", "a/03.png": "fox", "b/01.png": "owl"}
    assert manifest["clean_label"].equals(manifest["label"])
