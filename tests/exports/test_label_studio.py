"""Tasks for Label Studio, and the answers that come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from cleaner.dataset.decision_files import import_decisions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import agreed
from cleaner.dataset.label_studio import from_choice, read_annotations, to_choice
from cleaner.errors import BadInputError
from tests.exports.readers import answered
from tests.exports.test_readers import ODD_LABELS
from tests.support.exports import gone, make_set, write_to


@pytest.fixture
def doubted(images_root: Path) -> pd.DataFrame:
    manifest = make_set(images_root, [{"file_name": f"{i}.png", "label": label} for i, label in enumerate(ODD_LABELS)])
    manifest["label_issue"] = ["fine"] + [""] * (len(manifest) - 1)
    manifest["label_issue_prob"] = [0.75] + [0.25] * (len(manifest) - 2) + [float("nan")]
    manifest["suggested_label"] = "007"
    manifest["suggested_prob"] = 0.5
    return manifest


def test_every_label_goes_there_and_comes_back(doubted: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    result = write_to("label-studio", doubted, images_root, tmp_path / "out")
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert len(tasks) == result.num_files == len(ODD_LABELS)
    config = ElementTree.parse(tmp_path / "out/interface.xml")
    controls = {c.get("name"): [x.get("value") for x in c.iter("Choice")] for c in config.iter("Choices")}
    assert controls == {
        "label": [to_choice(label) for label in sorted(ODD_LABELS)],
        "verdict": ["noise", "drop", "unsure"],
    }
    by_id = {task["data"]["image_id"]: task for task in tasks}
    first, *_, last = doubted.sort_values("file_name", key=lambda names: names.str.len()).to_dict("records")
    assert by_id[first["image_id"]]["predictions"][0]["score"] == 0.5, "the suggested label's"
    assert "score" not in by_id[last["image_id"]]["predictions"][0], "it was not judged"
    assert {t["data"]["image"] for t in tasks} == {f"/data/local-files/?d=images/{i}.png" for i in range(len(tasks))}
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps([answered(number, task) for number, task in enumerate(tasks)]))
    store = DecisionStore(tmp_path / "decisions.sqlite")
    assert import_decisions(answers, store, doubted, read=read_annotations).num_added == len(tasks)
    assert import_decisions(answers, store, doubted, read=read_annotations).num_present == len(tasks)
    said = {key: event.label for (_, key), event in agreed(store.standing()).items()}
    wanted = dict(zip(doubted["image_id"], doubted["clean_label"], strict=True)) | {first["image_id"]: "007"}
    assert said == wanted
    assert set(store.events()["annotator"]) == {"ann@example.org", "7"}


def test_addresses_and_dropped_images(small_export: pd.DataFrame, images_root: Path, tmp_path: Path) -> None:
    lost = small_export.iloc[[0]].assign(file_name="cat/lost.jpg", fault="truncated", **gone("scan", "unreadable"))
    url = "https://example.org/set/"
    write_to("label-studio", pd.concat([small_export, lost]), images_root, tmp_path / "o", dropped=True, image_url=url)
    tasks = json.loads((tmp_path / "o/tasks.json").read_text())
    assert len(tasks) == 6 and tasks[-1]["data"]["image"] == f"{url}%C3%89clair%2C%20%C3%BC/1.jpg"


def test_verdicts_skipped_tasks_and_the_short_form(tmp_path: Path) -> None:
    def choice(name: str, value: str) -> dict[str, Any]:
        return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [value]}}

    data = {"image_id": "a" * 64}
    both = {"result": [choice("label", "cat"), choice("verdict", "noise")], "completed_by": 3}
    skipped = {"result": [choice("label", "cat")], "was_cancelled": True}
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([{"data": data, "annotations": [both, skipped, {"result": []}]}]))
    assert read_annotations(path).drop(columns="time_utc").to_numpy().tolist() == [["a" * 64, "noise", "", "3"]]
    short = {"image": "x", "image_id": "b" * 64, "label": "cat", "annotator": 2, "annotation_id": 1, "updated_at": "t"}
    path.write_text(json.dumps([short, {"image": "x", "image_id": "c" * 64}]))
    assert read_annotations(path).to_numpy().tolist() == [["b" * 64, "label", "cat", "2", "t"]]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[", "not a readable JSON"),
        ("{}", "not a list"),
        ("[3]", "task 1"),
        ('[{"annotations": [{"result": [{"type": "choices"}]}], "data": {}}]', "task 1"),
        ('[{"annotations": [{"result": []}], "data": {"image_id": ""}}, {"annotation_id": 1}]', "task 2"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInputError, match=what):
        read_annotations(tmp_path / "a.json")


def test_choices_hold_what_xml_cannot() -> None:
    for label in (*ODD_LABELS, "\x00", "a\\u0041", r"caf\xe9", "\ta\n", "\uffff"):
        assert from_choice(to_choice(label)) == label
    assert to_choice("a b") == "a b" and to_choice(" a") == r"\u0020a" and to_choice("\\") == r"\u005c"
