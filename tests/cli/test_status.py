"""`cleaner status`: what it prints and loads, and how it grows with the rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import REPO
from tests.support.program import Program, load_script

scale = load_script(REPO / "benchmarks" / "table_scale.py")
memory_watch = load_script(REPO / "benchmarks" / "memory_watch.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic workspace of 2,000 rows, all stages current."""
    root = tmp_path_factory.mktemp("made") / "work"
    scale.synthesise(root, 2000, 40)
    return root


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CLEANER_EMBEDDING_BACKBONE")  # its records hold the default settings
    return Path(shutil.copytree(made, tmp_path / "work"))


def test_on_the_command_line(program: Program, work: Path) -> None:
    found = program("status", "-C", work, "--no-images")
    assert found.exit_code == 0 and "next: cleaner export" in found.out and "waits for people" in found.out
    assert "not compared with the scan" in found.out
    document = program("status", "-C", work, "--no-images", "--json", "--limit", "1").document("status")
    assert document["next"].startswith("cleaner export -C ")
    assert all(len(w["examples"]) == 1 for w in document["waiting"])
    empty = work.parent / "empty"
    empty.mkdir()
    assert (
        program("status", "-C", empty, "--json")
        .document("status")["next"]
        .endswith("scan -C " + str(empty) + " IMAGES")
    )
    assert program("status", "-C", work / "absent").exit_code == 3


def test_it_starts_without_what_takes_long_to_load(work: Path) -> None:
    code = (
        "import sys; from cleaner.cli.app import main; sys.argv = ['cleaner', 'status', '-q', '-C', sys.argv[1]]\n"
        "try: main()\n"
        "except SystemExit: print({'torch', 'pandas', 'scipy', 'PIL'} & {*sys.modules}, file=sys.__stdout__)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(work)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()", "although it reads a manifest, for people decided on images"


def test_time_and_memory_stay_small_as_rows_grow(tmp_path: Path) -> None:
    """benchmarks/table_scale.py measures a million rows; here it is a tenth of that."""
    scale.synthesise(tmp_path / "work", 100_000, 1000)
    used, _ = memory_watch.run_watched(tmp_path / "work", "status", "--no-images")
    assert used["core_seconds"] < 2.5  # processor time: other work on the machine is not counted
    assert 0 < used["peak_mb"] < 400
