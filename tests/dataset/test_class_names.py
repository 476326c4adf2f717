"""Names of classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cleaner.dataset.class_names import NORMALIZER, find_alike, read_class_names, record_merges
from cleaner.dataset.decisions import DecisionStore
from cleaner.errors import BadInputError


def test_names_that_read_alike() -> None:
    sizes = {"Barn owl": 3, "barn  owl": 9, "barn owl": 2, "Barn Owl": 1, "e\u0301": 5, "\u00e9": 1, "owl": 7, "": 9}
    assert find_alike(sizes) == {
        "Barn Owl": "Barn owl",
        "barn  owl": "Barn owl",
        "barn owl": "Barn owl",
        "e\u0301": "\u00e9",
    }


def test_merges_are_recorded_once_and_give_way_to_people(decisions: DecisionStore) -> None:
    into = {"Fox": "fox", "FOX": "fox", "Owl": "owl"}
    assert record_merges(decisions, into) == 3
    assert record_merges(decisions, into) == 0
    verdicts = decisions.class_verdicts()
    assert verdicts["label"].to_dict() == into and set(verdicts["annotator"]) == {NORMALIZER}
    decisions.undo(next(e.seq or 0 for e in decisions.events_after(0) if e.key == "FOX"), "ann")
    assert record_merges(decisions, into) == 0 and "FOX" not in decisions.class_verdicts().index, "taken back for good"
    assert record_merges(decisions, {"Fox": "fox", "hare ": "hare"}) == 1
    assert sorted(decisions.class_verdicts().index) == ["Fox", "hare "], "what is no longer alike is taken back"
    decisions.add("class", "lynx", "keep", annotator="ann")
    assert record_merges(decisions, {"Fox": "fox", "hare ": "hare", "Lynx": "lynx"}) == 0


@pytest.mark.parametrize(
    ("file", "text", "labels", "names"),
    [
        ("n.txt", "owl\n\nbarn owl\n", ["0", "1"], ["owl", "barn owl"]),
        ("n.names", "owl\nfox\n", ["2", "01"], ["fox", "owl"]),
        ("n.json", json.dumps(["owl", "fox"]), ["1"], ["fox"]),
        ("n.json", json.dumps({"n01": "owl", "n02": "fox"}), ["n02"], ["fox"]),
        ("n.json", json.dumps({"owl": 4, "fox": 3}), ["3", "4.0"], ["fox", "owl"]),
        ("n.csv", "id;name\n7;owl\n8;fox\n", ["08", "7"], ["fox", "owl"]),
    ],
)
def test_files_of_class_names(tmp_path: Path, file: str, text: str, labels: list[str], names: list[str]) -> None:
    (tmp_path / file).write_text(text)
    assert read_class_names(tmp_path / file, labels) == dict(zip(labels, names, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [("owl\nfox\n", "1 labels have no name"), ("owl\nowl\n", "0, 1 have the same name, 'owl'")],
)
def test_names_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "n.txt").write_text(text)
    with pytest.raises(BadInputError, match=message):
        read_class_names(tmp_path / "n.txt", ["0", "7"])
