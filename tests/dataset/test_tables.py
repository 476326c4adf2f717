"""Tables that people bring and take away."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.importers import read_seeds
from cleaner.dataset.tables import read_table, read_truth, refuse, with_rows, write_table_file
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


def test_truth_values_of_every_spelling_and_what_is_neither(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("keep\nTrue\n 0\nYES\nno\n1.0\n")
    column = read_table(tmp_path / "t.csv")["keep"]
    assert read_truth(column, tmp_path / "t.csv").tolist() == [True, False, True, False, True]
    (tmp_path / "t.csv").write_text("keep\ntrue\nperhaps\n")
    with pytest.raises(BadInputError, match="1 values of keep are neither") as error:
        read_truth(read_table(tmp_path / "t.csv")["keep"], tmp_path / "t.csv")
    assert error.value.found == "'perhaps' (row 3)"


def test_of_many_wrong_values_the_first_few_are_named(tmp_path: Path) -> None:
    refuse(tmp_path / "t.csv", [], "values are wrong")
    column = pd.Series(list("abcdefg"), index=range(2, 9))
    with pytest.raises(BadInputError, match=r"t\.csv: 7 values are wrong") as error:
        refuse(tmp_path / "t.csv", with_rows(column), "values are wrong", next_step="mend")
    assert error.value.found == "'a' (row 2), 'b' (row 3), 'c' (row 4), 'd' (row 5), 'e' (row 6) and 2 more"
    assert error.value.next_step == "mend"
