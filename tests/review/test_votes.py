"""What annotators voted, where people look at labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleaner.dataset.label_lists import VOTES_FILE
from cleaner.dataset.manifest import write_table
from cleaner.dataset.stage_tables import VOTES
from cleaner.dataset.workspace import Workspace
from cleaner.review.votes import read_votes
from tests.support.records import record_of
from tests.support.review_server import Server
from tests.support.scanned import picture, save, scan


def test_votes_are_those_of_the_list(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"images/{i}.png", picture(i))
    votes = [("2", "dog"), ("2", "cat"), ("2", "cat"), ("0", "dog"), ("1", "cat"), ("1", "cat")]
    lines = [f"{name}.png,{label},ann{i}" for i, (name, label) in enumerate(votes)]
    (tmp_path / "votes.csv").write_text("\n".join(["file_name,label,annotator", *lines]) + "\n")
    rows, _ = scan(tmp_path / "images", tmp_path / "work", labels_file=str(tmp_path / "votes.csv"))
    names = rows.index.to_series()
    found = read_votes(Workspace(tmp_path / "work"), names)
    words = [found.words(row) for row in range(3)]
    assert words == [["annotators: dog 1"], ["annotators: cat 2"], ["annotators: cat 2, dog 1"]]
    later = read_votes(Workspace(tmp_path / "work"), names.iloc[1:])
    assert [later.words(row) for row in range(3)] == [*words[1:], []], "a manifest with other rows"


def test_the_label_queue_shows_the_votes_on_its_images_alone(own_workspace: Workspace) -> None:
    rows = own_workspace.manifest()
    names = rows["file_name"][rows["label"] == "dog"]
    votes = pd.DataFrame({"file_name": names, "label": "owl", "votes": 4, "share": 1.0})
    write_table(own_workspace.stage_dir("scan") / VOTES_FILE, votes, VOTES.schema)
    record = record_of("scan", images_root=str(own_workspace.root.parent / "images"))
    own_workspace.write_record(record, ["manifest.parquet", VOTES_FILE])
    with Server(own_workspace.root) as server:
        items = server.enter().get("/api/page", queue="labels", limit=60)["items"]
    shown = {item["given"]: "annotators: owl 4" in item["facts"] for item in items}
    assert shown["dog"] and len(shown) > 1 and not any(shows for label, shows in shown.items() if label != "dog")
