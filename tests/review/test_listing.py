"""`cleaner queue` and `cleaner decide`: a program plays the person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.review.listing import list_open
from cleaner.review.queues import QUEUES
from tests.support.program import Program
from tests.support.review_server import Server, make_workspace


def left(program: Program, work: Path, queue: str, limit: int = 5) -> list[dict[str, Any]]:
    done = program("queue", queue, "-C", work, "--limit", limit, "--json")
    assert done.exit_code == 0, done.err
    return done.document("queue")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, per_class=8)


def test_every_queue_lists_what_the_page_shows(workspace: Workspace) -> None:
    from cleaner.audit.draw import open_audit

    open_audit(workspace, "balance", num_kept=8, num_dropped=2, goal=0.01, seed=1)
    with Server(workspace.root) as server:
        server.enter()
        items = server.get("/api/page", queue="labels", limit=60)["items"]
        server.decide("labels", items[0], "label", "=")  # by somebody else than the program that asks
        server.decide("labels", items[1], "unsure")
        scan = workspace.read("scan", ["image_id", "file_name"]).drop_duplicates("image_id")
        names = dict(zip(scan["image_id"], scan["file_name"], strict=True))
        for queue in QUEUES:
            if queue in ("noise", "calibration", "disagreements"):  # tested elsewhere; not there; empty
                continue
            listed = list_open(workspace, queue).items
            shown = server.get("/api/page", queue=queue, limit=60)["items"]
            assert [i.file_name or i.class_name for i in listed] == [
                i["key"] if i["kind"] == "class" else names[i["key"]] for i in shown
            ], queue
            assert [i.reason for i in listed] == [i["reason"] for i in shown]
            assert len(listed) > 0
    assert {i.probability for i in list_open(workspace, "noise-doubtful").items} == {0.7}
    assert {i.probability for i in list_open(workspace, "noise-seeds").items} == {None}  # oddness is no probability


def test_a_program_plays_the_person_until_nothing_is_left(small_copy: Path, program: Program) -> None:
    verdicts = {"noise-seeds": "--noise", "labels": "--drop", "noise-found": "--normal"}
    seen: dict[str, list[str]] = {}
    for queue, verdict in verdicts.items():
        while items := left(program, small_copy, queue):
            assert len(items) <= 5
            names = [item["file_name"] for item in items]
            assert program("decide", *names, verdict, "-C", small_copy).exit_code == 0
            seen.setdefault(queue, []).extend(names)
            assert len(seen[queue]) == len(set(seen[queue])), "nothing is asked twice"
    assert all(len(names) >= 5 for names in seen.values()), {k: len(v) for k, v in seen.items()}
    assert left(program, small_copy, "labels") == []
    shown = program("queue", "labels", "-C", small_copy)
    assert shown.exit_code == 0 and shown.out.startswith("queue labels  0 left")


def test_a_program_answers_an_audit_and_settles(workspace: Workspace, program: Program) -> None:
    work = workspace.root
    assert program("audit", "--sample", "6", "--sample-dropped", "2", "-C", work).exit_code == 0
    asked = []
    while items := left(program, work, "audit", limit=3):
        assert {(i["probability"], i["reason"]) for i in items} == {(None, "")}
        for item in items:
            name, label = item["file_name"], "cat"
            assert program("decide", name, "--label", label, "--queue", "audit", "-C", work).exit_code == 0
            asked.append(name)
    assert len(asked) == len(set(asked)) == 6
    document = json.loads(program("audit", "--sample", "6", "--sample-dropped", "2", "-C", work, "--json").out)
    assert document["complete"] is True
    for who, verdict in (("ann", "--noise"), ("bob", "--normal")):
        assert program("decide", asked[0], verdict, "--annotator", who, "-C", work).exit_code == 0
    (dispute,) = left(program, work, "disagreements")
    assert dispute["file_name"] == asked[0] and dispute["reason"] == "label / noise / normal"
    assert program("decide", asked[0], "--noise", "--queue", "disagreements", "-C", work).exit_code == 0
    assert left(program, work, "disagreements") == []
    assert DecisionStore(workspace.decisions_path).undecided().empty


def test_classes_are_named_as_such(workspace: Workspace, program: Program) -> None:
    items = left(program, workspace.root, "low-count")
    assert len(items) == 4 and {i["file_name"] for i in items} == {""}
    for item in items:
        assert program("decide", "--class", item["class"], "--keep", "-C", workspace.root).exit_code == 0
    assert left(program, workspace.root, "low-count") == []


def test_a_queue_that_is_not_there_says_what_to_do(workspace: Workspace, program: Program) -> None:
    with pytest.raises(BadInputError, match="cleaner labels"):
        list_open(workspace, "calibration")
    done = program("queue", "calibration", "-C", workspace.root)
    assert done.exit_code == 3 and "cleaner labels" in done.err
    done = program("queue", "labls", "-C", workspace.root)
    assert done.exit_code == 2 and "low-count" in done.err


def test_the_table_for_people(workspace: Workspace, program: Program) -> None:
    shown = program("queue", "noise-doubtful", "-C", workspace.root, "--limit", "2")
    first, *rows, following = shown.out.splitlines()
    assert first == "queue noise-doubtful  4 left" and following.startswith("next: cleaner review")
    assert len(rows) == 2 and all("0.700" in row and "doubtful band" in row for row in rows)
