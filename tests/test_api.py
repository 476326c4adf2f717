"""cleaner as a library: light to import, silent, and the example of docs/python-api.md as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import cleaner
from cleaner.modeling import backbone_names
from tests.support.places import REPO
from tests.support.program import draw_set


def test_import_is_light() -> None:
    program = (
        "import sys, cleaner\n"
        "heavy = ('torch', 'pandas', 'numpy', 'pyarrow', 'typer', 'rich')\n"
        "print([m for m in heavy if m in sys.modules])\n"
        "assert 'open_workspace' in dir(cleaner)\n"
        "cleaner.ScanSettings(near_radius=3)\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_names() -> None:
    assert cleaner.open_workspace("x").root == Path("x")
    with pytest.raises(AttributeError, match="nonsense"):
        cleaner.nonsense  # noqa: B018
    assert {"open_workspace", "scan", "LabelsSettings", "read_config", "CleanerError"} <= set(dir(cleaner))
    for name in dir(cleaner):
        assert getattr(cleaner, name) is not None or name == "__doc__"


def test_the_example_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (REPO / "docs" / "python-api.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    draw_set(tmp_path / "photos", num=10)
    rows = [f"{label}/{i}.png,{str(i < 2).lower()}" for label in ("cat", "dog") for i in range(5)]
    (tmp_path / "seeds.csv").write_text("file_name,is_noise\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(backbone_names._SETS, "embedded", "embedded-small")  # of what is seen nothing depends here
    exec(compile(code, "docs/python-api.md", "exec"), {})
    shown = capsys.readouterr()
    assert re.match(r"\d+ of 20 files kept, \d classes\n", shown.out)
    assert "noise_image" in shown.out and "torch.Size([8, 3, 64, 64])" in shown.out
    assert len(pd.read_parquet("clean.parquet")) and (tmp_path / "work" / "report.json").exists()
    workspace = cleaner.open_workspace(tmp_path / "work")
    assert isinstance(workspace.manifest("noise", ["file_name", "noise_prob"]), pd.DataFrame)
    record = workspace.record("noise")
    assert record is not None and record.command_line == ["seeds"]
    before = record.created_utc
    again = cleaner.noise(workspace, cleaner.NoiseSettings(seeds="seeds.csv", threshold=0.9))
    assert again.was_current and again.record.created_utc == before


def test_errors_are_of_one_kind(tmp_path: Path) -> None:
    with pytest.raises(cleaner.CleanerError, match="no such folder"):
        cleaner.scan(tmp_path / "work", tmp_path / "absent")
    with pytest.raises(cleaner.CleanerError, match="no stage has run"):
        cleaner.open_workspace(tmp_path).manifest()
