"""Records of stages, and who may read what is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cleaner.dataset.store import write_atomic
from cleaner.dataset.workspace import RECORD, Workspace
from cleaner.errors import BadInputError
from tests.support.scanned import make_tree, scan


@pytest.fixture
def work(tmp_path: Path) -> Path:
    scan(make_tree(tmp_path / "images"), tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": "none"},
        {"inputs": [{"role": "images"}]},
        {"outputs": {}},
        {"outputs": {"manifest.parquet": "0", "../../x": "0"}},
        {"outputs": {"manifest.parquet": 7}},
        {"counts": {}},
        {"counts": None},
        {"settings": []},
        {"images_root": 3},
        {"seconds": "long"},
    ],
)
def test_a_record_that_parses_but_is_wrong_is_named(work: Path, change: dict[str, Any]) -> None:
    path = work / "scan" / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadInputError, match=r"stage\.json") as caught:
        Workspace(work).record("scan")
    assert "scan --force" in caught.value.next_step


@pytest.mark.parametrize("text", ["[]", "3", "{", "\xff", '{"stage": "scan"}'])
def test_a_record_that_is_none_is_named(work: Path, text: str) -> None:
    (work / "scan" / RECORD).write_text(text, encoding="latin-1")
    with pytest.raises(BadInputError, match=r"stage\.json"):
        Workspace(work).record("scan")


def test_a_folder_in_the_place_of_a_record_is_named(work: Path) -> None:
    (work / "scan" / RECORD).unlink()
    (work / "scan" / RECORD).mkdir()
    with pytest.raises(BadInputError, match=r"stage\.json"):
        Workspace(work).record("scan")


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_files_are_for_those_whom_the_umask_admits(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "new" / "x.json", b"{}")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "x.json").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~umask
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.json"]
