"""Fixtures of tests/dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.dataset.decisions import DecisionStore


@pytest.fixture
def decisions(tmp_path: Path) -> DecisionStore:
    return DecisionStore(tmp_path / "decisions.sqlite")
