"""Fixtures of tests/program."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.stage_inputs import STAGES


@pytest.fixture(scope="module")
def manifests(sample_run: Path) -> dict[str, pd.DataFrame]:
    """The four manifests, index file_name in the files' order."""
    return {s: pd.read_parquet(sample_run / s / "manifest.parquet").set_index("file_name") for s in STAGES}
