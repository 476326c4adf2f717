"""What the system refuses: a workspace that may only be read, a full disk, a closed pipe."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.store import exclusive_lock
from cleaner.dataset.workspace import Workspace
from tests.support.permissions import permissions_hold
from tests.support.process import ENVIRONMENT
from tests.support.program import Program, tree_digest

NAME = "dog/1.jpg"


@pytest.fixture
def sealed(scanned: Path, tmp_path: Path) -> Iterator[Path]:
    """A workspace with a scan and a decision in which nothing may be written."""
    workspace = Workspace(Path(shutil.copytree(scanned, tmp_path / "work")))
    image_id = workspace.read("scan")["image_id"].iloc[2]
    DecisionStore(workspace.decisions_path).add("image", image_id, "unsure", annotator="ann")
    folders = [workspace.root, *(p for p in workspace.root.rglob("*") if p.is_dir())]
    for path in [*folders, *(p for p in workspace.root.rglob("*") if p.is_file())]:
        path.chmod(path.stat().st_mode & ~0o222)
    with permissions_hold():
        yield workspace.root
    for path in folders:
        path.chmod(0o755)


def test_readers_work_in_a_workspace_that_may_only_be_read(sealed: Path, tmp_path: Path, program: Program) -> None:
    before = tree_digest(sealed)
    commands: list[tuple[object, ...]] = [
        ("status",),
        ("explain", NAME),
        ("decisions", "export", tmp_path / "decisions.csv"),
        ("queue", "noise-seeds"),
        ("report", "--out", tmp_path / "elsewhere" / "page.html"),
        ("export", tmp_path / "table.csv", "--to", "csv"),
        ("export", tmp_path / "folder", "--mode", "copy"),
    ]
    for command in commands:
        done = program(*command, "-C", sealed)
        assert done.exit_code == 0, (command, done.err)
    assert tree_digest(sealed) == before
    assert (tmp_path / "elsewhere" / "page.json").exists() and "ann" in (tmp_path / "decisions.csv").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ("noise",),
        ("labels",),
        ("balance",),
        ("decide", NAME, "--noise"),
        ("audit",),
        ("report",),
        ("init",),
    ],
)
def test_writers_say_what_they_may_not_write(sealed: Path, program: Program, command: tuple[str, ...]) -> None:
    done = program(*command, "-C", sealed)
    assert done.exit_code == 1
    assert str(sealed) in done.err and "permission denied" in done.err.lower() and "next:" in done.err
    assert "unexpected" not in done.err and "Traceback" not in done.err


def test_an_export_does_not_read_what_is_being_written(scanned: Path, tmp_path: Path, program: Program) -> None:
    with exclusive_lock(scanned / ".lock"):
        done = program("export", tmp_path / "table.csv", "--to", "csv", "-C", scanned)
    assert done.exit_code == 1 and f"process {os.getpid()}" in done.err
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize("arguments", [("--help",), ("recipes",), ("recipes", "--json")])
def test_a_program_whose_output_nobody_reads_ends_without_a_word(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    command = [sys.executable, "-m", "cleaner", *arguments]
    done = subprocess.run(command, stdout=ours, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENVIRONMENT)
    os.close(ours)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_called_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cleaner", "recipes"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 1
    assert "no space left" in done.stderr and "free disk space" in done.stderr and "unexpected" not in done.stderr
