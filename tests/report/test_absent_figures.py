"""Any figure may be absent: the page then shows a dash in its place, and nothing else is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cleaner.dataset.manifest import read_manifest, write_manifest, write_table
from cleaner.dataset.stage_tables import CLASSES
from cleaner.progress import Silent
from cleaner.report.build import compute_figures, illustrate, write_report
from cleaner.report.data import load_report_data
from cleaner.report.render import render_page
from cleaner.report.thumbnails import Thumbnails
from cleaner.report.wording import decimal, percent, points
from tests.report.conftest import VERIFIED, make_small_report
from tests.support.pictures import NO_PICTURES
from tests.support.report_page import Page

_SETTINGS = ("threshold", "doubtful", "residual_noise", "seconds")
"""Figures that a record always holds."""


def without(value: Any) -> Any:
    """A copy of the document in which all fractions that were measured are absent."""
    if isinstance(value, dict):
        return {name: part if name in _SETTINGS else without(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without(part) for part in value]
    return None if isinstance(value, float) else value


def test_a_page_is_written_whichever_figures_are_absent(tmp_path: Path) -> None:
    data = load_report_data(make_small_report(tmp_path))
    figures = compute_figures(data) | {"verify": VERIFIED}
    figures["sections"].append("verify")
    for section in ("noise", "classes", "audit", "verify"):
        known = figures | {section: without(figures[section])}
        assert known[section] != figures[section]
        illustrations = illustrate(known, data, Thumbnails(tmp_path / "gone", NO_PICTURES), Silent(), tmp_path)
        page = Page(render_page(known, illustrations, []))
        assert len(page.all("section")) == len(figures["sections"])
        assert not any("None" in text or "nan" in text.split() for text in page.text), section


@pytest.mark.parametrize("absent", ["balance", "noise"])
def test_a_page_is_written_of_a_manifest_that_knows_no_number(tmp_path: Path, absent: str) -> None:
    workspace = make_small_report(tmp_path)
    path = workspace.manifest_path("balance")
    rows = read_manifest(path)
    fractions = [name for name in rows if rows[name].dtype.kind == "f"]
    assert {"noise_prob", "self_confidence", "predicted_confidence"} <= set(fractions)
    rows[fractions] = np.float32(np.nan)
    write_manifest(path, rows, stage="balance", parent_sha256="")
    classes = pd.read_parquet(path.with_name("classes.parquet"))
    numbers = [name for name in classes if classes[name].dtype.kind == "f"]
    assert "oof_accuracy" in numbers
    classes[numbers] = np.nan
    write_table(path.with_name("classes.parquet"), classes, CLASSES["balance"].schema)
    if absent != "balance":
        (workspace.stage_dir(absent) / "stage.json").unlink()
    text = Page(write_report(workspace).html.read_text()).text
    assert not [line for line in text if "nan" in line.lower().split()]


def test_an_absent_figure_is_a_dash() -> None:
    for value in (None, float("nan")):
        assert percent(value) == decimal(value, ".3f") == points(value) == "–"
    assert (percent(0.0), decimal(0.0, ".1f"), points(-0.001)) == ("0.0\u00a0%", "0.0", "-0.10")
