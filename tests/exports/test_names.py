"""Names of classes and files through every export and back."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder

from cleaner.dataset.files import list_files
from cleaner.dataset.tables import read_table
from cleaner.exports.names import FreeNames, folder_names
from cleaner.exports.tables import labels_changed_by_pandas
from tests.support.exports import files_of, make_set, write_to
from tests.support.scanned import scan

ODD = ["NA", "007", "+1", "a/b", "../../x", "ü日本", "x" * 300, ".", "..", ".h", "@eaDir"]
ODD += ["classes.txt", "a%2Fb", r"a\xff"]
_HARD = st.text("/\\\\.%~\n\r'\" ", min_size=1, max_size=9)
_TEXTS = st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=100), _HARD)
_LABELS = st.lists(_TEXTS.filter(str.strip), min_size=2, max_size=5, unique=True)


@settings(max_examples=50, deadline=None)
@given(_LABELS)
def test_every_label_has_a_folder_of_its_own(labels: list[str]) -> None:
    folders = folder_names(labels, {"classes.txt"})
    assert list(folders) != [] and len({*folders.values(), "classes.txt"}) == len(labels) + 1
    for label, folder in folders.items():
        assert 0 < len(folder.encode()) <= 255 and "/" not in folder and folder not in (".", "..")
        assert label == folder or unquote(folder) == label or "~" in folder


@settings(max_examples=5, deadline=None)
@given(_LABELS)
def test_a_scan_of_an_exported_folder_finds_its_labels(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    check_folder(folder, labels)


def test_odd_labels_come_back_from_a_folder(tmp_path: Path) -> None:
    check_folder(tmp_path, ODD)


def check_folder(tmp_path: Path, labels: list[str]) -> None:
    rows = [{"file_name": f"{i:02}.png", "label": label} for i, label in enumerate(labels)]
    manifest = make_set(tmp_path / "images", rows)
    out = tmp_path / "out"
    result = write_to("folder", manifest, tmp_path / "images", out)
    assert (out / "classes.txt").read_text().splitlines() == ImageFolder(str(out)).classes == result.classes
    named = out / "classes.csv"
    back, _ = scan(out, tmp_path / "work", class_names=str(named) if named.exists() else "")
    back = back[back["readable"]]
    assert dict(zip(back["image_id"], back["label"], strict=True)) == dict(
        zip(manifest["image_id"], manifest["label"], strict=True)
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("safe", [False, True])
@settings(max_examples=15, deadline=None)
@given(labels=_LABELS)
def test_labels_come_back_from_every_table(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, safe: bool, labels: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("table")
    names = [f"-{i}{label}" for i, label in enumerate(labels)]
    rows = pd.DataFrame({"file_name": names, "clean_label": labels, "label": labels, "split": "train", "image_id": "0"})
    manifest = rows.assign(keep=True, drop_stage="", drop_reason="", repeats=1, fault="", format="")
    kind = {".tsv": "csv"}.get(suffix, suffix[1:])
    write_to(kind, manifest, folder, folder / f"t{suffix}", spreadsheet_safe=safe)
    back = read_table(folder / f"t{suffix}").set_index("file_name")
    assert back["clean_label"].to_dict() == dict(zip(names, labels, strict=True))
    if suffix == ".csv" and not safe:
        pandas = pd.read_csv(folder / "t.csv", dtype=str, keep_default_na=False)
        assert dict(zip(pandas["file_name"], pandas["label"], strict=True)) == dict(zip(names, labels, strict=True))


def test_labels_that_pandas_would_read_otherwise_are_told() -> None:
    assert labels_changed_by_pandas(["NA", "cat", "null"]) == ["NA", "null"]
    assert labels_changed_by_pandas(["007", "1"]) == ["007", "1"]
    assert labels_changed_by_pandas(["cat", "007"]) == []


def test_long_names_are_cut_and_stay_apart(tmp_path: Path) -> None:
    names = FreeNames()
    folder = PurePosixPath("owl")
    long = ["x" * 255, "x" * 255, "é" * 120 + ".jpeg", "é" * 126 + ".jpg", "y." + "z" * 250, "x" * 254 + ".jpg"]
    free = [names.take(folder, name) for name in long]
    assert all(len(path.name.encode()) <= 255 for path in free) and len(set(free)) == len(free)
    assert free[1].name.endswith("~2") and free[3].name.endswith("é.jpg") and free[5].suffix == ".jpg"
    manifest = make_set(tmp_path / "images", [{"file_name": f"owl/{'w' * 251}.jpg", "repeats": 3}])
    write_to("folder", manifest, tmp_path / "images", tmp_path / ("o" * 250), repeats="files")
    assert len(files_of(tmp_path / ("o" * 250))) == 5


def test_folder_names_are_seen_by_a_listing(tmp_path: Path) -> None:
    for folder in folder_names(ODD, {"classes.txt"}).values():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(b"x")
    assert len(list_files(tmp_path, False)) == len(ODD)
