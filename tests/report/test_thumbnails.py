"""The pictures of a report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cleaner.dataset.workspace import Workspace
from cleaner.report import thumbnails
from cleaner.report.build import write_report
from tests.support.report_page import Page
from tests.support.review_server import make_workspace as make_hostile


def test_no_more_pictures_than_fit(hostile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(hostile, tmp_path / "work")
    monkeypatch.setattr(thumbnails, "MAX_PICTURES", 5)
    result = write_report(Workspace(tmp_path / "work"))
    page = Page(result.html.read_text())
    assert result.num_pictures == len(page.all("img")) == 5
    assert "not shown: the page is full" in page.text


def test_images_that_are_gone_or_changed_leave_a_placeholder(tmp_path: Path) -> None:
    workspace = make_hostile(tmp_path, per_class=6)
    for number, path in enumerate(sorted((tmp_path / "images").rglob("*.jpg"))):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes() + b"x")
    result = write_report(workspace)
    page = Page(result.html.read_text())
    assert result.num_pictures == 0 and result.num_gone > 5
    assert "image is gone" in page.text and not page.all("img")
