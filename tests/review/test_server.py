"""The review server over real HTTP: what it lets in, what it refuses, what it keeps."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.review.agreement import compute_kappa
from tests.support.places import REPO
from tests.support.program import load_script
from tests.support.review_server import EVIL_LABEL, EVIL_NAME, Server, decision, make_workspace
from tests.support.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def server(workspace: Workspace) -> Iterator[Server]:
    """One server for all tests that only ask, or only look at what they said themselves."""
    with Server(workspace.root, "--annotator", "ann") as running:
        yield running.enter()


@pytest.fixture
def own(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, per_class=6)


def events(workspace: Workspace) -> list[tuple[str, str, str, str]]:
    frame = DecisionStore(workspace.decisions_path).events()
    return list(frame[["key", "verdict", "label", "annotator"]].itertuples(index=False, name=None))


# --- what comes in ---------------------------------------------------------------------------------------------------


def test_every_answer_carries_the_safety_headers(server: Server) -> None:
    for path in ("/", "/static/app.js", "/api/state", "/picture/" + "0" * 64 + "/thumb", "/nowhere"):
        answer, _ = server.raw("GET", path)
        policy = str(answer.getheader("Content-Security-Policy"))
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("X-Frame-Options") == "DENY"
        assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]
    cookie = str(Server.raw(server, "GET", "/")[0].getheader("Set-Cookie"))
    assert cookie == "None"


def test_the_link_works_once_and_gives_a_strict_cookie(own: Workspace) -> None:
    with Server(own.root) as one:
        path = one.url.partition(str(one.port))[2]
        first, _ = one.raw("GET", path)
        cookie = str(first.getheader("Set-Cookie"))
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and str(one.port) in cookie
        second, said = one.raw("GET", path)
        assert second.status == 401 and b"used before" in said and second.getheader("Set-Cookie") is None


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/state", "/api/page?queue=labels", "/picture/x/thumb"])
def test_without_the_cookie_nothing_is_served(server: Server, path: str) -> None:
    for cookie in (None, "cleaner_review=guess", f"cleaner_review_{server.port}=guess", "\x7f;;=="):
        answer, _ = server.raw("GET", path, headers={"Cookie": cookie})
        assert answer.status == 401
    assert server.raw("GET", "/?token=guess", headers={"Cookie": None})[0].status == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "evil@127.0.0.1", "",
     "192.168.1.9", "[::1", "0.0.0.0"],
)  # fmt: skip
def test_foreign_host_is_refused(server: Server, host: str) -> None:
    assert server.raw("GET", "/api/state", headers={"Host": host})[0].status in (400, 403)


def test_a_tunnel_may_use_another_port(server: Server) -> None:
    assert server.raw("GET", "/api/state", headers={"Host": "localhost:9000"})[0].status == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "http://localhost:{port}", None],
)
def test_foreign_origin_is_refused(server: Server, workspace: Workspace, origin: str | None) -> None:
    item = server.get("/api/page", queue="labels")["items"][0]
    before = events(workspace)
    given = origin and origin.format(port=server.port)
    status, _ = server.post("/api/decide", decision("labels", item["key"], "noise"), Origin=given)
    assert status == 403 and events(workspace) == before
    if given:
        assert server.raw("GET", "/api/state", headers={"Origin": given})[0].status == 403


def test_a_form_of_another_page_cannot_post(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert server.post("/api/undo", {}, **{"Content-Type": kind})[0] == 415
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert server.raw(method, "/api/decide")[0].status == 403


TRAVERSALS = ["../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
              "....//etc/passwd", "cat/000.jpg", "..\\..\\etc\\passwd", "%00",
              "file:///etc/passwd", "scan/stage.json"]  # fmt: skip


@pytest.mark.parametrize("text", TRAVERSALS)
def test_path_traversal_in_every_parameter(server: Server, workspace: Workspace, text: str) -> None:
    before = events(workspace)
    for path in (
        f"/picture/{text}/thumb",
        f"/picture/{'0' * 64}/{text}",
        f"/static/{text}",
        f"/{text}",
        f"/static/../{text}",
    ):
        answer, data = server.raw("GET", path)
        assert answer.status in (404, 405) and b"root:" not in data, path
    names = ["queue", "start", "limit", "status", "label", "reason", "lowest", "highest", "search", "turned"]
    for name in names:
        answer, data = server.raw("GET", f"/api/page?{'queue=labels&' if name != 'queue' else ''}{name}={text}")
        assert answer.status in (200, 422) and b"root:" not in data, name
        assert answer.status == 422 or json.loads(data)["name"] == "labels"
    assert server.raw("GET", f"/api/typical?label={text}")[1].endswith(b'"pictures":[]}')
    good = server.get("/api/page", queue="labels")["items"][0]["key"]
    for part, body in itertools.product(
        ("queue", "request_id", "kind", "key", "verdict", "label"), [decision("labels", good, "label", "dog")]
    ):
        (body if part in body else body["decisions"][0])[part] = text
        status, said = server.post("/api/decide", body)
        assert status in (404, 422) and "root:" not in str(said), part
    for part in ("queue", "request_id", "target"):
        status, _ = server.post("/api/undo", {"queue": "labels", "request_id": "a" * 32, "target": ""} | {part: text})
        assert status == 422
    assert events(workspace) == before


def test_large_bodies_are_refused(server: Server) -> None:
    body = json.dumps(decision("labels", "0" * 64, "noise") | {"filler": "x" * 10_000_000}).encode()
    assert server.raw("POST", "/api/decide", body)[0].status == 413
    deep = b"[" * 100_000 + b"]" * 100_000
    assert server.raw("POST", "/api/decide", deep)[0].status == 400
    assert server.raw("POST", "/api/decide", b"\xff\xfe")[0].status == 400
    assert server.raw("POST", "/api/decide", b"[1]")[0].status == 400
    assert server.get("/api/state")["annotator"] == "ann"


def test_a_decision_for_something_unknown_is_refused(server: Server, workspace: Workspace) -> None:
    before = events(workspace)
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
    assert events(workspace) == before


def test_hostile_names_come_as_text_and_pictures_as_fresh_pixels(server: Server, workspace: Workspace) -> None:
    page = server.get("/api/page", queue="noise-seeds", search="newline", status="all")
    (item,) = page["items"]
    assert item["file"] == f"cat/{EVIL_NAME}"
    assert EVIL_LABEL in server.get("/api/state")["labels"]
    answer, data = server.raw("GET", f"/picture/{item['key']}/thumb")
    source = (workspace.root.parent / "images" / "cat" / EVIL_NAME).read_bytes()
    assert answer.getheader("Content-Type") == "image/jpeg" and data[:3] == b"\xff\xd8\xff" and data != source
    path = workspace.root.parent / "shown.jpg"
    path.write_bytes(data)
    assert Image.open(path).size == (48, 48)
    assert str(server.raw("GET", "/api/state")[0].getheader("Content-Type")) == "application/json"


def test_a_file_that_changed_since_the_scan_is_not_shown(own: Workspace) -> None:
    with Server(own.root) as one:
        item = one.enter().get("/api/page", queue="noise-seeds", search="dog/")["items"][0]
        (own.root.parent / "images" / item["file"]).write_bytes(b"GIF89a<script>")
        answer, said = one.raw("GET", f"/picture/{item['key']}/thumb")
        assert answer.status == 410 and b"changed" in said


def test_another_address_needs_an_explicit_yes(own: Workspace) -> None:
    command = [sys.executable, "-m", "cleaner", "review", "-C", str(own.root), "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "--i-know-it-is-exposed" in done.stderr
    with Server(own.root, "--host", "0.0.0.0", "--i-know-it-is-exposed") as one:
        one.enter()
        assert one.raw("GET", "/api/state", headers={"Host": f"192.168.1.9:{one.port}"})[0].status == 200
        assert one.raw("GET", "/api/state", headers={"Host": "evil.example"})[0].status == 403


def test_the_server_process_does_not_load_torch() -> None:
    code = "import sys, cleaner.cli.app, cleaner.review.server; print({'torch', 'timm', 'sklearn'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# --- queues ----------------------------------------------------------------------------------------------------------


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


def test_pages_and_filters(server: Server) -> None:
    first = server.get("/api/page", queue="labels", limit=12, status="all")
    second = server.get("/api/page", queue="labels", limit=12, status="all", start=first["next"])
    keys = [i["key"] for i in first["items"] + second["items"]]
    assert len(set(keys)) == 24
    turned = server.get("/api/page", queue="labels", limit=60, status="all", turned=1)["items"]
    straight = server.get("/api/page", queue="labels", limit=60, status="all")["items"]
    assert [i["key"] for i in turned] == [i["key"] for i in straight][::-1]
    owls = server.get("/api/page", queue="labels", limit=60, status="all", label="owl")["items"]
    assert owls and all("owl" in (i["given"], i["suggested"]) for i in owls)
    assert len(server.get("/api/page", queue="labels", limit=60, status="all", search="cat/003")["items"]) == 1
    assert server.get("/api/page", queue="labels", lowest=0.99)["items"] == []


def test_share_draws_the_same_random_part(own: Workspace) -> None:
    drawn = []
    for _ in range(2):
        with Server(own.root, "labels", "--share", "0.5") as one:
            items = one.enter().get("/api/page", queue="labels", limit=60, status="all")["items"]
            drawn.append([i["key"] for i in items])
    assert drawn[0] == drawn[1] and 0 < len(drawn[0]) < 13


# --- decisions -------------------------------------------------------------------------------------------------------


def test_a_decision_is_in_the_store_when_it_is_acknowledged(own: Workspace) -> None:
    with Server(own.root, "--annotator", "ann") as one:
        item = one.enter().get("/api/page", queue="labels")["items"][0]
        answer = one.decide("labels", item, "label", "=")
        assert events(own) == [(item["key"], "label", item["given"], "ann")]
        assert answer["saved"] == [
            {"kind": "image", "key": item["key"], "mine": {"verdict": "label", "label": item["given"]}}
        ]
        assert answer["done"] == 1
        assert item["key"] not in [i["key"] for i in one.get("/api/page", queue="labels", limit=60)["items"]]
        one.decide("labels", item, "noise")
        assert one.get("/api/page", queue="labels", status="mine")["items"][0]["mine"]["verdict"] == "noise"


def test_a_retry_is_never_saved_twice(own: Workspace) -> None:
    with Server(own.root) as one:
        first, second = one.enter().get("/api/page", queue="labels")["items"][:2]
        answers = [one.decide("labels", first, "noise", request_id="f" * 32) for _ in range(3)]
        assert len(events(own)) == 1 and answers[0] == answers[2]
        body = decision("labels", second["key"], "noise", request_id="f" * 32)
        assert one.post("/api/decide", body)[0] == 422 and len(events(own)) == 1


def test_undo_takes_back_whole_actions_once(own: Workspace) -> None:
    with Server(own.root) as one:
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
        assert DecisionStore(own.decisions_path).image_verdicts()["verdict"].to_dict() == {items[0]["key"]: "noise"}
        assert one.post("/api/undo", undo | {"request_id": "d" * 32})[0] == 200
        assert one.post("/api/undo", undo | {"request_id": "e" * 32})[0] == 422  # nothing is left
        assert DecisionStore(own.decisions_path).image_verdicts().empty


def test_a_conflict_is_decided_for_every_copy_and_a_class_merges(own: Workspace) -> None:
    with Server(own.root) as one:
        (item,) = one.enter().get("/api/page", queue="conflicts")["items"]
        assert {label for _, label in item["choices"]} == {"cat", "dog"}
        one.decide("conflicts", item, "label", "dog")
        small = one.get("/api/page", queue="low-count")["items"]
        owl = next(i for i in small if i["key"] == "owl")
        assert owl["pictures"] and ["merge", "owl"] not in owl["choices"]
        one.decide("low-count", owl, "merge", "cat")
        store = DecisionStore(own.decisions_path)
        assert store.image_verdicts().loc[item["key"], "label"] == "dog"
        assert store.class_verdicts().loc["owl", "label"] == "cat"


def test_two_people_at_once_disagree_and_one_settles(own: Workspace) -> None:
    with Server(own.root, "--annotator", "ann") as ann, Server(own.root, "--annotator", "bob") as bob:
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
        store = DecisionStore(own.decisions_path)
        assert store.undecided().empty and len(store.image_verdicts()) == 6
        left = [i["key"] for i in bob.get("/api/page", queue="labels", status="nobody", limit=60)["items"]]
        assert not set(left) & {i["key"] for i in items[:6]}


def test_kappa_of_known_answers() -> None:
    # Cohen 1960's formula on a table with 20, 5, 10, 15: observed 0.7, chance 0.5
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert compute_kappa(list(pairs)) == pytest.approx(0.4)
    assert compute_kappa([("a", "a"), ("b", "b")]) == 1
    assert compute_kappa([("a", "a")]) != compute_kappa([("a", "a")])  # NaN: chance explains everything


def test_audit_queue_is_blind(own: Workspace) -> None:
    from cleaner.audit.draw import open_audit

    with Server(own.root) as one:
        state = one.enter().get("/api/state")
        assert next(q for q in state["queues"] if q["name"] == "audit")["absent"]
        sample, _ = open_audit(own, "balance", num_kept=8, num_dropped=2, seed=1)
        page = one.get("/api/page", queue="audit")
        assert [i["key"] for i in page["items"]] == list(dict.fromkeys(sample.rows["image_id"]))
        for item in page["items"]:
            assert (item["file"], item["facts"], item["choices"], item["suggested"]) == ("", [], [], "")
            assert "score" not in item
        first = page["items"][0]
        one.decide("audit", first, "label", "=")
        assert DecisionStore(own.decisions_path).events()["queue"].tolist() == ["audit"]
        assert one.get("/api/page", queue="audit")["done"] == 1
        outside = next(
            i
            for i in one.get("/api/page", queue="labels", limit=60)["items"]
            if i["key"] not in set(sample.rows["image_id"])
        )
        assert one.post("/api/decide", decision("audit", outside["key"], "noise"))[0] == 404


def test_kills_lose_nothing_that_was_acknowledged(own: Workspace) -> None:
    """benchmarks/review_kills.py does the same with 200 kills."""
    review_kills = load_script(REPO / "benchmarks" / "review_kills.py")
    outcome = review_kills.run_kills(own.root, num_kills=5, rng=random.Random(5))
    assert outcome.num_lost == 0 and outcome.num_doubled == 0
    assert outcome.num_acknowledged > 20 and outcome.num_killed_in_flight == 5


def test_the_page_follows_a_stage_that_has_run(own: Workspace) -> None:
    with Server(own.root) as one:
        assert one.enter().get("/api/state")["stage"] == "balance"
        (own.stage_dir("balance") / "stage.json").unlink()
        assert one.get("/api/state")["stage"] == "labels"
