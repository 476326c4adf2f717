"""Fixtures of tests/audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.dataset.workspace import Workspace
from tests.support.audited import make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "work")
