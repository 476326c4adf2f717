"""Queues of what people disagree on and of audits, over real HTTP."""

from __future__ import annotations

import pytest

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from tests.support.review_server import Server, decision


def test_two_people_at_once_disagree_and_one_settles(own_workspace: Workspace) -> None:
    with (
        Server(own_workspace.root, "--annotator", "ann") as ann,
        Server(own_workspace.root, "--annotator", "bob") as bob,
    ):
        items = ann.enter().get("/api/page", queue="labels")["items"]
        bob.enter()
        for i, item in enumerate(items[:6]):
            ann.decide("labels", item, "noise" if i < 3 else "drop")
            bob.decide("labels", item, "noise" if i < 4 else "drop")
        state = ann.get("/api/state")
        (agreement,) = state["agreements"]
        assert (
            agreement["both"] == 6 and agreement["equal"] == 5 and agreement["kappa"] == pytest.approx(0.667, abs=1e-3)
        )
        (dispute,) = bob.get("/api/page", queue="disagreements")["items"]
        assert dispute["key"] == items[3]["key"] and dispute["facts"][:2] == ["ann: drop", "bob: noise"]
        assert dispute["choices"] == [["drop", ""], ["noise", ""]]
        bob.decide("disagreements", dispute, "drop")
        assert ann.get("/api/page", queue="disagreements")["items"] == []
        store = DecisionStore(own_workspace.decisions_path)
        assert store.undecided().empty and len(store.image_verdicts()) == 6
        left = [i["key"] for i in bob.get("/api/page", queue="labels", status="nobody", limit=60)["items"]]
        assert not set(left) & {i["key"] for i in items[:6]}


def test_audit_queue_is_blind(own_workspace: Workspace) -> None:
    from cleaner.audit.draw import open_audit

    with Server(own_workspace.root) as one:
        state = one.enter().get("/api/state")
        assert next(q for q in state["queues"] if q["name"] == "audit")["absent"]
        sample, _ = open_audit(own_workspace, "balance", num_kept=8, num_dropped=2, goal=0.01, seed=1)
        page = one.get("/api/page", queue="audit")
        assert [i["key"] for i in page["items"]] == list(dict.fromkeys(sample.rows["image_id"]))
        for item in page["items"]:
            assert (item["file"], item["facts"], item["choices"], item["suggested"]) == ("", [], [], "")
            assert "score" not in item
        first = page["items"][0]
        one.decide("audit", first, "label", "=")
        assert DecisionStore(own_workspace.decisions_path).events()["queue"].tolist() == ["audit"]
        assert one.get("/api/page", queue="audit")["done"] == 1
        outside = next(
            i
            for i in one.get("/api/page", queue="labels", limit=60)["items"]
            if i["key"] not in set(sample.rows["image_id"])
        )
        assert one.post("/api/decide", decision("audit", outside["key"], "noise"))[0] == 404
