"""Decisions: saved once, taken back, lost never; over real HTTP."""

from __future__ import annotations

import random

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from tests.support.places import REPO
from tests.support.program import load_script
from tests.support.review_server import Server, decision, stored_decisions


def test_a_decision_for_something_unknown_is_refused(server: Server, served_workspace: Workspace) -> None:
    before = stored_decisions(served_workspace)
    known = server.get("/api/page", queue="labels")["items"][0]["key"]
    for key, kind in (("0" * 64, "image"), ("nothing", "image"), (known, "class"), ("no such class", "class")):
        verdict = "noise" if kind == "image" else "drop"
        assert server.post("/api/decide", decision("labels", key, verdict, kind=kind))[0] == 404
    for verdict, label in (("label", "no such class"), ("label", ""), ("noise", "cat"), ("keep", ""), ("", "")):
        assert server.post("/api/decide", decision("labels", known, verdict, label))[0] == 422
    both = decision("labels", known, "noise")
    both["decisions"].append({"kind": "image", "key": "0" * 64, "verdict": "noise", "label": ""})
    assert server.post("/api/decide", both)[0] == 404  # all or none
    assert server.post("/api/decide", decision("labels", known, "noise") | {"decisions": []})[0] == 422
    assert server.post("/api/decide", {"queue": "labels", "request_id": "a" * 32, "decisions": [1]})[0] == 422
    assert stored_decisions(served_workspace) == before


def test_a_decision_is_in_the_store_when_it_is_acknowledged(own_workspace: Workspace) -> None:
    with Server(own_workspace.root, "--annotator", "ann") as one:
        item = one.enter().get("/api/page", queue="labels")["items"][0]
        answer = one.decide("labels", item, "label", "=")
        assert stored_decisions(own_workspace) == [(item["key"], "label", item["given"], "ann")]
        assert answer["saved"] == [
            {"kind": "image", "key": item["key"], "mine": {"verdict": "label", "label": item["given"]}}
        ]
        assert answer["done"] == 1
        assert item["key"] not in [i["key"] for i in one.get("/api/page", queue="labels", limit=60)["items"]]
        one.decide("labels", item, "noise")
        assert one.get("/api/page", queue="labels", status="mine")["items"][0]["mine"]["verdict"] == "noise"


def test_a_retry_is_never_saved_twice(own_workspace: Workspace) -> None:
    with Server(own_workspace.root) as one:
        first, second = one.enter().get("/api/page", queue="labels")["items"][:2]
        answers = [one.decide("labels", first, "noise", request_id="f" * 32) for _ in range(3)]
        assert len(stored_decisions(own_workspace)) == 1 and answers[0] == answers[2]
        body = decision("labels", second["key"], "noise", request_id="f" * 32)
        assert one.post("/api/decide", body)[0] == 422 and len(stored_decisions(own_workspace)) == 1


def test_undo_takes_back_whole_actions_once(own_workspace: Workspace) -> None:
    with Server(own_workspace.root) as one:
        items = one.enter().get("/api/page", queue="labels")["items"]
        one.decide("labels", items[0], "noise")
        many = decision("labels", items[1]["key"], "drop")
        many["decisions"] += [dict(many["decisions"][0], key=items[2]["key"])]
        assert one.post("/api/decide", many)[0] == 200
        undo = {"queue": "labels", "request_id": "c" * 32, "target": ""}
        for _ in range(2):  # the second is a retry
            status, answer = one.post("/api/undo", undo)
            assert status == 200 and {s["key"] for s in answer["saved"]} == {items[1]["key"], items[2]["key"]}
            assert all(s["mine"] is None for s in answer["saved"])
        assert DecisionStore(own_workspace.decisions_path).image_verdicts()["verdict"].to_dict() == {
            items[0]["key"]: "noise"
        }
        assert one.post("/api/undo", undo | {"request_id": "d" * 32})[0] == 200
        assert one.post("/api/undo", undo | {"request_id": "e" * 32})[0] == 422  # nothing is left
        assert DecisionStore(own_workspace.decisions_path).image_verdicts().empty


def test_a_conflict_is_decided_for_every_copy_and_a_class_merges(own_workspace: Workspace) -> None:
    with Server(own_workspace.root) as one:
        (item,) = one.enter().get("/api/page", queue="conflicts")["items"]
        assert {label for _, label in item["choices"]} == {"cat", "dog"}
        one.decide("conflicts", item, "label", "dog")
        small = one.get("/api/page", queue="low-count")["items"]
        owl = next(i for i in small if i["key"] == "owl")
        assert owl["pictures"] and ["merge", "owl"] not in owl["choices"]
        one.decide("low-count", owl, "merge", "cat")
        store = DecisionStore(own_workspace.decisions_path)
        assert store.image_verdicts().loc[item["key"], "label"] == "dog"
        assert store.class_verdicts().loc["owl", "label"] == "cat"


def test_kills_lose_nothing_that_was_acknowledged(own_workspace: Workspace) -> None:
    """benchmarks/review_kills.py does the same with 200 kills."""
    review_kills = load_script(REPO / "benchmarks" / "review_kills.py")
    outcome = review_kills.run_kills(own_workspace.root, num_kills=5, rng=random.Random(5))
    assert outcome.num_lost == 0 and outcome.num_doubled == 0
    assert outcome.num_acknowledged > 20 and outcome.num_killed_in_flight == 5


def test_the_page_follows_a_stage_that_has_run(own_workspace: Workspace) -> None:
    with Server(own_workspace.root) as one:
        assert one.enter().get("/api/state")["stage"] == "balance"
        (own_workspace.stage_dir("balance") / "stage.json").unlink()
        assert one.get("/api/state")["stage"] == "labels"
