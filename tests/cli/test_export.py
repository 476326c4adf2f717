"""`cleaner export`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.support.process import cleaner
from tests.support.program import Program


def test_export_of_the_latest_stage(scanned: Path, tmp_path: Path) -> None:
    done = cleaner("export", tmp_path / "set", "--json", cwd=scanned)
    assert json.loads(done.stdout)["counts"]["files"] == 6, done.stderr
    assert (tmp_path / "set" / "classes.txt").read_text() == "cat\ndog\n"
    assert cleaner("export", "--to", "csv", tmp_path / "set.csv", cwd=scanned).returncode == 0
    assert len(pd.read_csv(tmp_path / "set.csv")) == 6
    taken = cleaner("export", tmp_path / "set", cwd=scanned)
    assert taken.returncode == 2 and "already exists" in taken.stderr


def test_the_suffix_tells_a_table_from_a_folder(scanned: Path, program: Program, tmp_path: Path) -> None:
    for name, kind in (("set.csv", ()), ("set.jsonl", ()), ("folder.csv", ("--to", "folder"))):
        assert program("export", tmp_path / name, *kind, "-C", scanned).exit_code == 0
    assert len(pd.read_csv(tmp_path / "set.csv")) == len(pd.read_json(tmp_path / "set.jsonl", lines=True)) == 6
    assert (tmp_path / "folder.csv/cat").is_dir(), "what is asked for wins over the suffix"
