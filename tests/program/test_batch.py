"""`make batch`: one workspace a set, goes on past a broken one, names it, ends with an error; with -j too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cleaner.dataset.lineage import why_stale
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.workspace import Workspace
from tests.support.places import REPO
from tests.support.program import draw_set

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment that make takes for up to date: that of the tests."""
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".ready").touch()
    return folder


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(REPO), "--no-print-directory", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_broken_set_does_not_end_the_one_beside_it(tmp_path: Path, venv: Path) -> None:
    (tmp_path / "broken").mkdir()
    datasets = f"{tmp_path / 'broken'}/ {draw_set(tmp_path / 'sound', num=8, side=24)}"
    options = ["batch", f"DATASETS={datasets}", f"WORK={tmp_path / 'work'}", f"VENV={venv}"]
    small = [
        "NOISE_ARGS=--image-size 32",
        "LABELS_ARGS=--image-size 32 --max-rounds 1",
        "BALANCE_ARGS=--low-count keep",
    ]
    done = make(*options, *small)
    assert done.returncode != 0
    assert "batch: 2 sets, 1 failed" in done.stdout and "batch: failed: broken" in done.stderr
    workspace = Workspace(tmp_path / "work" / "sound")
    assert workspace.latest() == "balance" and why_stale(workspace, "balance") == ""
    assert Workspace(tmp_path / "work" / "broken").latest() is None


def fake(tmp_path: Path) -> str:
    """A program in the place of cleaner: makes the stage's record, fails for sets named bad."""
    script = tmp_path / "fake.sh"
    script.write_text(
        '#!/bin/sh\nstage=$1\nwhile [ "$1" != -C ]; do case $1 in *bad*) exit 3;; esac; shift; done\n'
        'mkdir -p "$2/$stage"; echo {} > "$2/$stage/stage.json"; : > "$2/$stage/manifest.parquet"\n'
    )
    script.chmod(0o755)
    return str(script)


def test_all_fine_none_given_and_two_of_one_name(tmp_path: Path, venv: Path) -> None:
    common = [f"WORK={tmp_path / 'work'}", f"VENV={venv}", f"CLEANER={fake(tmp_path)}"]
    fine = make("-j4", "batch", "DATASETS=x/a x/b x/c", *common)
    assert fine.returncode == 0 and "3 sets, 0 failed" in fine.stdout, fine.stderr
    two = make("batch", "DATASETS=x/bad1 x/a x/bad2", *common)
    assert two.returncode != 0 and "failed: bad1 bad2" in two.stderr
    again = make("batch", "DATASETS=x/a", *common)  # what failed in an earlier batch is forgotten
    assert again.returncode == 0
    assert "which sets?" in make("batch", *common).stderr
    assert "same name" in make("batch", "DATASETS=x/a y/a", *common).stderr


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_alone(tmp_path: Path, venv: Path, stage: str) -> None:
    done = make("-j3", stage, "IMAGES=x", f"WORK={tmp_path / 'work'}", f"VENV={venv}", f"CLEANER={fake(tmp_path)}")
    assert done.returncode == 0, done.stderr
    there = {p.parent.name for p in (tmp_path / "work").glob("*/stage.json")}
    assert there == set(STAGES[: STAGES.index(stage) + 1])
