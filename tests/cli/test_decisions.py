"""`cleaner decisions import` and `export`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from tests.support.process import cleaner
from tests.support.program import Program


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


def test_answers_from_label_studio(scanned: Path, program: Program, tmp_path: Path) -> None:
    work = Path(shutil.copytree(scanned, tmp_path / "work"))
    assert program("export", tmp_path / "tasks", "--to", "label-studio", "-C", work).exit_code == 0
    tasks = json.loads((tmp_path / "tasks/tasks.json").read_text())
    answers = [
        task | {"annotations": [{"result": task["predictions"][0]["result"], "completed_by": 1}]} for task in tasks
    ]
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    done = program("decisions", "import", tmp_path / "answers.json", "--from", "label-studio", "-C", work)
    assert done.exit_code == 0 and "added 6" in done.out, done.err
    refused = program("decisions", "import", tmp_path / "answers.json", "-C", work)
    assert refused.exit_code == 3 and "not a table" in refused.err
