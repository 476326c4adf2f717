"""`cleaner export`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.support.process import cleaner


def test_export_of_the_latest_stage(scanned: Path, tmp_path: Path) -> None:
    done = cleaner("export", tmp_path / "set", "--json", cwd=scanned)
    assert json.loads(done.stdout)["counts"]["files"] == 6, done.stderr
    assert (tmp_path / "set" / "classes.txt").read_text() == "cat\ndog\n"
    assert cleaner("export", "--to", "csv", tmp_path / "set.csv", cwd=scanned).returncode == 0
    assert len(pd.read_csv(tmp_path / "set.csv")) == 6
    taken = cleaner("export", tmp_path / "set", cwd=scanned)
    assert taken.returncode == 2 and "already exists" in taken.stderr
