"""What the review server lets in and what it refuses, over real HTTP."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cleaner.dataset.workspace import Workspace
from tests.support.review_server import Server, decision, stored_decisions
from tests.support.waiting import PATIENCE_S


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


def test_the_link_works_once_and_gives_a_strict_cookie(own_workspace: Workspace) -> None:
    with Server(own_workspace.root) as one:
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
def test_foreign_origin_is_refused(server: Server, served_workspace: Workspace, origin: str | None) -> None:
    item = server.get("/api/page", queue="labels")["items"][0]
    before = stored_decisions(served_workspace)
    given = origin and origin.format(port=server.port)
    status, _ = server.post("/api/decide", decision("labels", item["key"], "noise"), Origin=given)
    assert status == 403 and stored_decisions(served_workspace) == before
    if given:
        assert server.raw("GET", "/api/state", headers={"Origin": given})[0].status == 403


def test_a_form_of_another_page_cannot_post(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert server.post("/api/undo", {}, **{"Content-Type": kind})[0] == 415
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert server.raw(method, "/api/decide")[0].status == 403


def test_another_address_needs_an_explicit_yes(own_workspace: Workspace) -> None:
    command = [
        sys.executable,
        "-m",
        "cleaner",
        "review",
        "-C",
        str(own_workspace.root),
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2 and "--i-know-it-is-exposed" in done.stderr
    with Server(own_workspace.root, "--host", "0.0.0.0", "--i-know-it-is-exposed") as one:
        one.enter()
        assert one.raw("GET", "/api/state", headers={"Host": f"192.168.1.9:{one.port}"})[0].status == 200
        assert one.raw("GET", "/api/state", headers={"Host": "evil.example"})[0].status == 403
