"""What the scan remembers of files that it saw."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cleaner.dataset import inspection
from tests.support.places import REPO
from tests.support.scanned import Recorder, make_tree, picture, save, scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "images")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_unchanged_files_are_not_read_again(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    true_inspect = inspection.inspect_image

    def inspect(path: str, max_pixels: int) -> Any:
        looked_at.append(Path(path).name)
        return true_inspect(path, max_pixels)

    monkeypatch.setattr(inspection, "inspect_image", inspect)
    scan(root, work)
    assert len(looked_at) == 12
    looked_at.clear()
    save(root / "a/new.png", picture(80))
    save(root / "b/01.png", picture(81))
    (root / "c/02.png").unlink()
    rows, _ = scan(root, work)
    assert sorted(looked_at) == ["01.png", "new.png"]
    looked_at.clear()
    fresh, _ = scan(root, work.parent / "fresh")
    assert len(looked_at) == 12
    pd.testing.assert_frame_equal(rows, fresh)
    looked_at.clear()
    next((work / "cache/scan").rglob("*.arrays")).write_bytes(b"damaged")
    again, _ = scan(root, work, force=True)
    assert looked_at
    pd.testing.assert_frame_equal(rows, again)


def test_a_mended_permission_is_noticed(root: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_inspect = inspection.inspect_image

    def inspect(path: str, max_pixels: int) -> Any:
        facts = true_inspect(path, max_pixels)
        return inspection.ImageFacts(fault="unreadable") if path.endswith("00.png") else facts

    with monkeypatch.context() as patch:
        patch.setattr(inspection, "inspect_image", inspect)
        rows, _ = scan(root, work)
    assert rows.loc["a/00.png", "fault"] == "unreadable"
    rows, _ = scan(root, work, force=True)
    assert rows["readable"].all()


PROGRAM = """
import os, signal, sys
from pathlib import Path
from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset import inspection
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan

def kill_parent_at_fifth_result(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".arrays"):
        if len(list(Path(arguments[1]).parent.glob("*.arrays"))) == 4:
            os.kill(os.getppid(), signal.SIGKILL)

inspection.BATCH_FILES = 10
if __name__ == "__main__":
    run_scan(Workspace(Path(sys.argv[2])), Path(sys.argv[1]), ScanSettings(), RunOptions(workers=2))
else:
    sys.addaudithook(kill_parent_at_fifth_result)
"""


def test_a_killed_scan_goes_on_where_it_was(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    data = io.BytesIO()
    for i in range(300):
        data.seek(0)
        data.truncate()
        picture(i, 640, 480).save(data, "JPEG", quality=80)
        path = root / f"{'abc'[i % 3]}/{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(root), str(work)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(REPO)}, check=False)
    assert killed.returncode == -signal.SIGKILL, "the scan was to be killed half way"
    done = len(list(work.rglob("*.arrays")))
    assert 4 <= done < 30 and not (work / "scan/stage.json").exists()
    recorder = Recorder()
    _, resumed = scan(root, work, progress=recorder)
    _, undisturbed = scan(root, tmp_path / "other", workers=2)
    assert resumed.record.outputs == undisturbed.record.outputs
    assert recorder.done == recorder.total == 300
