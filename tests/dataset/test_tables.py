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
    with pytest.raises(BadInputError, match="no such table"):
        read_seeds(tmp_path / "absent.csv", manifest())
    with pytest.raises(BadInputError, match="not a table"):
        read_seeds(write(tmp_path / "seeds.xlsx", "x"), manifest())
    with pytest.raises(BadInputError, match="not a readable Parquet"):
        read_seeds(write(tmp_path / "seeds.parquet", "x"), manifest())
    (tmp_path / "latin.csv").write_bytes("file_name,is_noise\ncaf\xe9,1\n".encode("latin-1"))
    with pytest.raises(BadInputError, match="not UTF-8"):
        read_seeds(tmp_path / "latin.csv", manifest())


TEXTS = ["=HYPERLINK(1)", "+1", "-1.jpg", "@x", "plain", "'quoted", "'=x", "a\rb", "a\nb", "NA", "007", "", ',";', " "]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize("safe", [False, True])
def test_texts_come_back_as_they_are(tmp_path: Path, name: str, safe: bool) -> None:
    frame = pd.DataFrame({"file_name": TEXTS, "clean_label": TEXTS[::-1], "image_id": "x", "repeats": 1})
    write_table_file(tmp_path / name, frame, spreadsheet_safe=safe)
    back = read_table(tmp_path / name)
    assert back["file_name"].tolist() == TEXTS and back["clean_label"].tolist() == TEXTS[::-1]
    if name == "t.csv":
        plain = pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False)["file_name"].tolist()
        guarded = [f"'{text}" if text in (*TEXTS[:4], "'=x") else text for text in TEXTS]
        assert plain == (guarded if safe else TEXTS), "what pandas reads"


def test_apostrophes_go_only_where_an_older_cleaner_put_them(tmp_path: Path) -> None:
    ours = "file_name,clean_label,split,label,image_id\n'-1.jpg,'=a,train,'b,x\n"
    other = "file_name,label\n'-1.jpg,'=a\n"
    mixed = ours + "-2.jpg,'=c,train,c,y\n"
    for text, names in ((ours, ["-1.jpg"]), (other, ["'-1.jpg"]), (mixed, ["'-1.jpg", "-2.jpg"])):
        (tmp_path / "t.csv").write_text(text)
        assert read_table(tmp_path / "t.csv")["file_name"].tolist() == names


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
