"""Fixtures of tests/report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cleaner.dataset.workspace import Workspace
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


def make_small_report(root: Path) -> Workspace:
    """A workspace as `made`, of few rows."""
    script = load_script(REPO / "benchmarks" / "report_scale.py")
    workspace: Workspace = script.make_workspace(root, 300, 8, size=(32, 24))
    script.answer_audit(workspace, np.random.default_rng(0))
    return workspace


_ACCURACY = {"accuracy": 0.75, "mean_class_accuracy": 0.5}
VERIFIED = {
    "verdict": "helped",
    "stale": False,
    "seeds": [0, 1],
    "warnings": [],
    "classes_hurt": ["yak"],
    "test": {"images": 40, "where": "split val"},
    "comparisons": [
        {"after": "cleaned", "before": "raw", "mean": 0.25, "low": 0.125, "high": 0.5, "verdict": "helped"}
    ],
    "sets": [{"name": name, "images": 40, "classes": 2} | _ACCURACY for name in ("raw", "cleaned")],
    "classes": [
        {"label": "yak", "learned_before": 3, "learned_after": 0, "test_images": 4, "verdict": "hurt"}
        | {"accuracy_before": 0.5, "accuracy_after": 0.25, "low": -0.5, "high": 0.125}
    ],
}
"""What the report reads of a verify.json."""
