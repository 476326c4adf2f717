"""Fixtures of tests/report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cleaner.report.build import write_report
from tests.support.places import REPO
from tests.support.program import load_script
from tests.support.report_page import NUM_CLASSES, NUM_ROWS, Page
from tests.support.review_server import make_workspace as make_hostile


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with every kind of finding, its report, and an answered audit."""
    script = load_script(REPO / "benchmarks" / "report_scale.py")
    workspace = script.make_workspace(tmp_path_factory.mktemp("report"), NUM_ROWS, NUM_CLASSES, size=(96, 72))
    script.answer_audit(workspace, np.random.default_rng(0))
    write_report(workspace)
    return Path(workspace.root)


@pytest.fixture(scope="session")
def manifest(made: Path) -> pd.DataFrame:
    return pd.read_parquet(made / "balance" / "manifest.parquet")


@pytest.fixture(scope="session")
def figures(made: Path) -> dict[str, Any]:
    return json.loads((made / "report.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def page(made: Path) -> Page:
    return Page((made / "report.html").read_text())


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_hostile(tmp_path_factory.mktemp("hostile"))
    write_report(workspace)
    return workspace.root
