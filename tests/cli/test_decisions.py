"""`cleaner decisions import` and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.support.process import cleaner


def test_decisions_in_and_out(scanned: Path, tmp_path: Path) -> None:
    given_file = tmp_path / "looked_at.csv"
    given_file.write_text("file_name,verdict,label,annotator\ncat/1.jpg,label,dog,ann\ndog/[a] 3.jpg,noise,,ann\n")
    done = cleaner("decisions", "import", given_file, cwd=scanned)
    assert done.returncode == 0, done.stderr
    assert "  added 2\n" in done.stdout and "next: cleaner noise" in done.stdout
    again = cleaner("decisions", "import", given_file, "--json", cwd=scanned)
    assert json.loads(again.stdout)["counts"] == {"added": 0, "there already": 2}
    assert cleaner("decisions", "export", tmp_path / "out.parquet", cwd=scanned).returncode == 0
    assert pd.read_parquet(tmp_path / "out.parquet")["verdict"].tolist() == ["label", "noise"]
    given_file.write_text("file_name,verdict\ncat/1.jpg,noise\ncat/7.jpg,noise\n")
    done = cleaner("decisions", "import", given_file, cwd=scanned)
    assert done.returncode == 3 and "looked_at.csv" in done.stderr and "'cat/7.jpg' (row 3)" in done.stderr
