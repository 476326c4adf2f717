"""Tables that people bring and take away."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.importers import read_seeds
from cleaner.dataset.tables import read_table, write_table_file
from cleaner.errors import BadInputError
from tests.support.seeds import manifest, write


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        read_seeds(tmp_path / "absent.csv", manifest())
    with pytest.raises(BadInputError, match="not a table"):
        read_seeds(write(tmp_path / "seeds.xlsx", "x"), manifest())
    with pytest.raises(BadInputError, match="not a Parquet"):
        read_seeds(write(tmp_path / "seeds.parquet", "x"), manifest())
    (tmp_path / "latin.csv").write_bytes("file_name,is_noise\ncaf\xe9,1\n".encode("latin-1"))
    with pytest.raises(BadInputError, match="not UTF-8"):
        read_seeds(tmp_path / "latin.csv", manifest())


def test_texts_that_a_spreadsheet_would_run_are_guarded_and_come_back(tmp_path: Path) -> None:
    labels = ["=HYPERLINK(1)", "+1", "-1", "@x", "plain", "'quoted"]
    path = tmp_path / "t.csv"
    write_table_file(path, pd.DataFrame({"label": labels}))
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    assert lines[:4] == ["'=HYPERLINK(1)", "'+1", "'-1", "'@x"] and lines[4:] == ["plain", "'quoted"]
    assert read_table(path)["label"].tolist() == labels
