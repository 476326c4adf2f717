"""Which images a person means."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.explain import explain_images
from cleaner.stages.scan import run_scan
from tests.support.program import Program, draw_set


@pytest.fixture
def scanned(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, draw_set(tmp_path / "images"), ScanSettings(), RunOptions())
    return workspace


def test_names_paths_and_digits(program: Program, scanned: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    row = scanned.manifest().iloc[0]
    images = scanned.root.parent / "images"
    monkeypatch.chdir(images / "cat")
    for asked in (
        row["file_name"],
        "./" + row["file_name"],
        str(images / row["file_name"]),
        "0.png",
        row["image_id"][:8],
    ):
        (found,) = explain_images(scanned, [asked])
        assert found.file_name == row["file_name"]
    missing = program("explain", "bird/0.png", "-C", scanned.root)
    assert missing.exit_code == 3 and "found: cat/0.png, dog/0.png" in missing.err
