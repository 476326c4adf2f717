"""Decisions as tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.decision_files import export_decisions, import_decisions
from cleaner.dataset.decisions import DecisionStore
from cleaner.errors import BadInputError
from tests.support.decisions import A, B, C, in_force


def manifest() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file_name": ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/gone.jpg"],
            "image_id": [A, B, C, ""],
            "label": ["cat", "cat", "dog", "dog"],
            "clean_label": ["cat", "cat", "dog", "dog"],
        },
        dtype=object,
    )


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_import_by_file_name_and_by_class(decisions: DecisionStore, tmp_path: Path) -> None:
    images = table(
        tmp_path / "images.csv",
        "file_name,verdict,label,annotator\ncat/1.jpg,label,dog,ann\n./cat/2.jpg,noise,,ann\ndog/1.jpg,normal,,ann\n",
    )
    classes = table(tmp_path / "classes.tsv", "class\tverdict\tlabel\ndog\tmerge\tcat\n")
    assert import_decisions(images, decisions, manifest()).num_added == 3
    assert import_decisions(classes, decisions, manifest()).num_added == 1
    assert in_force(decisions) == {A: ("label", "dog"), B: ("noise", ""), C: ("normal", "")}
    assert decisions.class_verdicts()["label"].to_dict() == {"dog": "cat"}


def test_importing_a_file_again_changes_nothing(decisions: DecisionStore, tmp_path: Path) -> None:
    path = table(tmp_path / "d.csv", "file_name,verdict,annotator\ncat/1.jpg,noise,ann\ncat/2.jpg,noise,ann\n")
    import_decisions(path, decisions, manifest())
    decisions.add("image", A, "normal", annotator="ann")
    before = in_force(decisions)
    again = import_decisions(path, decisions, manifest())
    assert (again.num_added, again.num_present, again.num_overruled) == (0, 2, 1)
    assert in_force(decisions) == before


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("file_name,verdict\ncat/1.jpg,noise\ncat/9.jpg,noise\n", r"'cat/9.jpg' \(row 3\)"),
        ("file_name,verdict\ndog/gone.jpg,noise\n", r"dog/gone.jpg"),
        ("image_id,verdict\nxyz,noise\n", "row 2"),
        (f"image_id,verdict,label\n{A},noise,\n{B},label,\n", "row 3"),
        ("class,verdict\ncat,drop\nbird,drop\n", r"'bird' \(row 3\)"),
        (f"image_id,class,verdict\n{A},cat,drop\n", "and no more"),
        (f"image_id\n{A}\n", "verdict is missing"),
        (f"image_id,verdict,seq\n{A},noise,one\n", "row 2: seq"),
        (f"image_id,verdict,undoes_seq\n{A},,7\n", "no decision 7"),
        (f"image_id,verdict\n{A},noise,too many\n", "row 2"),
        ("", "empty"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(
    decisions: DecisionStore, tmp_path: Path, text: str, needle: str
) -> None:
    with pytest.raises(BadInputError, match=needle):
        import_decisions(table(tmp_path / "d.csv", text), decisions, manifest())
    assert decisions.events().empty


def test_labels_that_are_no_class_are_pointed_out(decisions: DecisionStore, tmp_path: Path) -> None:
    path = table(tmp_path / "d.csv", f"image_id,verdict,label\n{A},label,dgo\n")
    assert import_decisions(path, decisions, manifest()).unknown_labels == ["dgo"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_export_and_import_round_trip_with_undoings(decisions: DecisionStore, tmp_path: Path, suffix: str) -> None:
    decisions.add("class", 'odd, "name"\nNA', "drop", annotator="NA", queue="classes")
    first = decisions.add("image", A, "label", label="007", annotator="ann")
    second = decisions.add("image", A, "noise", annotator="ann")
    decisions.undo(second, "ann")
    decisions.add("image", B, "drop", annotator="null", undoes_seq=None)
    path = tmp_path / f"out{suffix}"
    assert export_decisions(path, decisions) == 5
    other = DecisionStore(tmp_path / "other.sqlite")
    other.add("image", C, "normal")  # so that numbers differ
    result = import_decisions(path, other, None)
    assert result.num_added == 5
    assert import_decisions(path, other, None).num_present == 5
    assert import_decisions(path, decisions, None).num_added == 0
    columns = ["kind", "key", "queue", "verdict", "label", "annotator", "time_utc"]
    pd.testing.assert_frame_equal(other.events()[columns].iloc[1:].reset_index(drop=True), decisions.events()[columns])
    assert in_force(other)[A] == ("label", "007")
    assert first == 2 and other.events()["undoes_seq"].dropna().tolist() == [4]
