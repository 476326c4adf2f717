"""`cleaner decide` records what a person says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.stages.scan import run_scan
from tests.support.program import Program, draw_set, tree_digest


@pytest.fixture
def scanned(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, draw_set(tmp_path / "images"), ScanSettings(), RunOptions())
    return workspace


def test_decide_and_undo(program: Program, scanned: Workspace) -> None:
    place = ["-C", scanned.root]
    store, manifest = DecisionStore(scanned.decisions_path), scanned.manifest()
    ids = dict(zip(manifest["file_name"], manifest["image_id"], strict=True))
    before = tree_digest(scanned.root)
    assert program("decide", "cat/0.png", "--noise", "--dry-run", *place).exit_code == 0
    assert tree_digest(scanned.root) == before
    done = program("decide", "cat/0.png", "cat/1.png", "--label", "dog", "--json", *place).document("counts")
    assert done["counts"] == {"label": 2} and done["warnings"] == []
    assert store.image_verdicts().loc[ids["cat/1.png"], ["verdict", "label"]].tolist() == ["label", "dog"]
    for verdict in ("noise", "normal", "drop"):
        assert program("decide", "dog/0.png", f"--{verdict}", *place).exit_code == 0
        assert store.image_verdicts().loc[ids["dog/0.png"], "verdict"] == verdict
    assert program("decide", "dog/0.png", "--undo", *place).exit_code == 0
    assert store.image_verdicts().loc[ids["dog/0.png"], "verdict"] == "normal"
    assert program("decide", "cat/0.png", "--label", "dgo", *place).err.count("typing error for 'dog'") == 1
    assert program("decide", "--class", "cat", "--merge-into", "dog", *place).exit_code == 0
    assert store.class_verdicts().loc["cat", ["verdict", "label"]].tolist() == ["merge", "dog"]
    assert program("decide", "--class", "cat", "--undo", *place).exit_code == 0
    assert store.class_verdicts().empty


@pytest.mark.parametrize(
    ("arguments", "exit_code", "needle"),
    [
        (["cat/0.png"], 2, "--label, --noise"),
        (["cat/0.png", "--noise", "--normal"], 2, "--noise --normal"),
        (["cat/0.png", "--keep"], 2, "label, noise, normal"),
        (["--class", "cat", "--noise"], 2, "keep, drop, merge"),
        (["--class", "cats", "--drop"], 3, "cat"),
        (["cat/0.png", "--undo"], 3, "to undo"),
        (["cat/7.png", "--drop"], 3, "not in"),
    ],
)
def test_what_cannot_be_decided(
    program: Program, scanned: Workspace, arguments: list[str], exit_code: int, needle: str
) -> None:
    done = program("decide", *arguments, "-C", scanned.root)
    assert done.exit_code == exit_code and needle in done.err
    assert not scanned.decisions_path.exists()
