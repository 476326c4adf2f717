"""What stands in the queues, over real HTTP."""

from __future__ import annotations

import itertools

from cleaner.dataset.workspace import Workspace
from tests.support.places import REPO
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


def test_a_queue_says_itself_how_the_page_shows_it(server: Server) -> None:
    queues = {q["name"]: q for q in server.get("/api/state")["queues"]}
    assert [name for name, q in queues.items() if q["is_blind"]] == ["audit"]
    assert [name for name, q in queues.items() if q["is_grouped"]] == ["labels"]
    assert [name for name, q in queues.items() if q["is_open_ended"]] == ["noise"]
    assert [name for name, q in queues.items() if not q["shows_given"]] == ["conflicts"]
    assert {name: q["applied_by"] for name, q in queues.items() if q["applied_by"] != "status"} == {
        **dict.fromkeys((name for name in queues if name.startswith("noise")), "noise"),
        "low-count": "balance",
        "audit": "audit",
    }
    scripts = sorted((REPO / "cleaner" / "review" / "static").glob("*.js"))
    texts = [path.read_text(encoding="utf-8") for path in scripts]
    names = set(queues) - {"noise"}  # a verdict, too
    assert texts and not [
        path.name for path, text in zip(scripts, texts, strict=True) for n in names if f'"{n}"' in text
    ]
