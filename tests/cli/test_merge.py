"""`cleaner merge` as it is typed."""

from __future__ import annotations

from pathlib import Path

from tests.support.program import Program
from tests.support.scanned import make_tree


def test_scans_become_one(program: Program, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_tree(tmp_path / name)
        assert program("scan", name, "-C", f"work-{name}").exit_code == 0
    merged = program("merge", "work-one", "work-two", "-C", "both", "--json")
    document = merged.document("stage")
    assert merged.exit_code == 0 and document["counts"]["rows"] == 24 and document["counts"]["kept"] == 12
    assert "up to date" in program("merge", "work-one", "work-two", "-C", "both").out
    assert "noise" in program("status", "-C", "both").out


def test_refusals(program: Program, tmp_path: Path) -> None:
    make_tree(tmp_path / "one")
    assert program("scan", "one", "-C", "work").exit_code == 0
    assert program("merge", "work", "-C", "both").exit_code == 2
    assert program("merge", "work", "other", "-C", "work").exit_code == 2
    absent = program("merge", "work", "absent", "-C", "both")
    assert absent.exit_code == 3 and "cleaner scan IMAGES -C absent" in absent.err
    assert not (tmp_path / "absent").exists()
