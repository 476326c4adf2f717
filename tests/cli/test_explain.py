"""`cleaner explain`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.support.places import SAMPLE
from tests.support.program import Program, tree_digest


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return pd.read_csv(SAMPLE / "truth.csv", dtype=str, keep_default_na=False)


def test_on_the_command_line(program: Program, sample_run: Path, truth: pd.DataFrame) -> None:
    before = tree_digest(sample_run)
    names = truth[truth["fault"] == ""]["file_name"].head(2).tolist()
    document = program("explain", *names, "-C", sample_run, "--json").document("explain")
    assert [e["file_name"] for e in document["images"]] == names
    shown = program("explain", SAMPLE / "images" / names[0], "-C", sample_run)
    assert shown.exit_code == 0 and names[0] in shown.out and "nearest by what the network sees" in shown.out
    assert program("explain", "cat/none.jpg", "-C", sample_run).exit_code == 3
    assert tree_digest(sample_run) == before
