"""What stands in the queues, over real HTTP."""

from __future__ import annotations

import itertools

from cleaner.dataset.workspace import Workspace
from tests.support.review_server import Server


def test_queues_hold_what_the_manifest_says(server: Server) -> None:
    num = {q["name"]: q["num"] for q in server.get("/api/state")["queues"]}
    assert num["noise-doubtful"] == 8 and num["noise-found"] == 8 and num["conflicts"] == 1 and num["low-count"] == 4
    assert num["labels"] == 41  # 40 with odd numbers, and one content that stands under two labels
    assert num["noise-seeds"] >= 20
    items = server.get("/api/page", queue="labels", limit=60, status="all")["items"]
    groups = [(i["given"], i["suggested"]) for i in items]
    assert len(set(groups)) == len([g for g, _ in itertools.groupby(groups)])  # groups stand together
    of_cat = [i["score"] for i in items if i["given"] == "dog"]
    assert items[0]["choices"][0] == ["label", items[0]["suggested"]]
    assert len(of_cat) >= 10
    doubtful = server.get("/api/page", queue="noise-doubtful")["items"]
    assert {i["score"] for i in doubtful} == {0.7} and server.get("/api/page", queue="noise-doubtful")["actions"]


def test_share_draws_the_same_random_part(own_workspace: Workspace) -> None:
    drawn = []
    for _ in range(2):
        with Server(own_workspace.root, "labels", "--share", "0.5") as one:
            items = one.enter().get("/api/page", queue="labels", limit=60, status="all")["items"]
            drawn.append([i["key"] for i in items])
    assert drawn[0] == drawn[1] and 0 < len(drawn[0]) < 13
