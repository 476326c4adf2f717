"""The map in the report: its points, what it says of one under the pointer, and that axe finds nothing wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from cleaner.dataset.embedding_map import MapRecord, map_folder, read_map_record, write_map
from cleaner.dataset.workspace import Workspace
from cleaner.report.build import write_report
from cleaner.report.embedding_map import MOST_POINTS
from tests.support.accessibility import find_violations
from tests.support.browser import Page, browser
from tests.support.places import SCHEMAS
from tests.support.program import Program, draw_set
from tests.support.review_server import EVIL_LABEL, make_workspace

__all__ = ["browser"]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with hostile names and a map; one image came after it was made."""
    workspace = make_workspace(tmp_path_factory.mktemp("map"), per_class=12)
    ids = workspace.read("scan", ["image_id"])["image_id"].drop_duplicates().to_numpy(object)[1:]
    angle = np.linspace(0, 6, len(ids), dtype=np.float32)
    points = np.column_stack([0.5 + 0.4 * np.cos(angle), 0.5 + 0.4 * np.sin(angle)])
    record = MapRecord(key="0" * 64, method="principal", networks="a network", num_images=len(ids), created_utc="2026")
    write_map(workspace, ids, points, record)
    write_report(workspace)
    return workspace


def test_figures_and_points_are_those_of_the_map(mapped: Workspace) -> None:
    figures = json.loads((mapped.root / "report.json").read_text())
    jsonschema.validate(figures, json.loads((SCHEMAS / "report-file.schema.json").read_text()))
    rows = mapped.read("scan", ["image_id", "readable"])
    num = int((rows["readable"] & (rows["image_id"] != "")).sum())  # what cannot be read has no place
    assert figures["map"]["images"] == figures["map"]["shown"] == num - figures["map"]["not_placed"] < MOST_POINTS
    assert figures["map"]["not_placed"] >= 1 and "map" in figures["sections"]
    html = (mapped.root / "report.html").read_text()
    assert EVIL_LABEL not in html and "came after the map was made" in html


def test_a_damaged_or_foreign_map_is_left_out(mapped: Workspace, tmp_path: Path) -> None:
    work = Workspace(Path(shutil.copytree(mapped.root, tmp_path / "work")))
    for name, data in (("points.parquet", b"PAR1 cut"), ("map.json", b"[1, 2"), ("map.json", b'{"key": 1}')):
        (map_folder(work) / name).write_bytes(data)
        write_report(work)
        assert json.loads((work.root / "report.json").read_text())["map"] is None
    assert read_map_record(work) is None


def test_it_draws_moves_and_tells_of_an_image(browser: Any, mapped: Workspace) -> None:
    page = Page(browser)
    browser.set_window_size(1280, 900)
    browser.get((mapped.root / "report.html").as_uri())
    browser.get_log("browser")
    drawn = (
        "const c = document.querySelector('.map');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0, x = 0, y = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) { n += 1; x = (i >> 2) % c.width;"
        "y = Math.floor((i >> 2) / c.width); } return [n, x, y, c.width, c.height]"
    )
    page.until(lambda: page.js(drawn)[0] > 40 * 4)
    before = page.js(drawn)
    scale = page.js("const c = document.querySelector('.map'); return c.getBoundingClientRect().width / c.width")
    point = (
        "const c = document.querySelector('.map'), box = c.getBoundingClientRect();"
        "c.dispatchEvent(new PointerEvent(arguments[0], {clientX: box.left + arguments[1],"
        "clientY: box.top + arguments[2], bubbles: true, pointerId: 1}))"
    )
    page.js(point, "pointermove", before[1] * scale, before[2] * scale)
    assert page.js("return !document.querySelector('.map-tip').hidden")
    assert "/" in page.text(".map-tip") and " · " in page.text(".map-tip")
    page.until(lambda: page.js("return document.querySelector('.map-tip img')?.naturalWidth > 0"))
    page.js("document.querySelector('.map').focus()")
    page.press("+", "+")
    page.until(lambda: page.js(drawn)[:3] != before[:3])
    page.press("-", "-", "-")
    page.until(lambda: page.js(drawn)[:3] == before[:3])
    assert "kept" in page.text(".map-legend")
    page.js("const s = document.querySelector('.map-colour'); s.value = 'label'; s.dispatchEvent(new Event('change'))")
    assert EVIL_LABEL in page.text(".map-legend") and page.js("return window.pwned ?? null") is None
    assert page.errors() == []


def test_axe_finds_nothing_wrong_in_light_or_dark(browser: Any, mapped: Workspace) -> None:
    page = Page(browser)
    browser.get((mapped.root / "report.html").as_uri())
    for dark in (False, True):
        assert find_violations(page, dark=dark) == []


def test_the_command_places_every_image_once(program: Program, tmp_path: Path) -> None:
    draw_set(tmp_path / "images")
    work = tmp_path / "work"
    assert program("map", "-C", work).exit_code == 3
    assert program("scan", tmp_path / "images", "-C", work).exit_code == 0
    first = program("map", "-C", work, "--method", "principal", "--json").document("map")
    assert first["num_images"] == 6 and not first["was_current"]
    assert program("map", "-C", work, "--method", "principal", "--json").document("map")["was_current"]
    assert program("report", "-C", work).exit_code == 0
    assert json.loads((work / "report.json").read_text())["map"]["shown"] == 6
