"""The review server over real HTTP: paths, bodies, pictures and names."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cleaner.dataset.workspace import Workspace
from tests.support.review_server import EVIL_LABEL, EVIL_NAME, Server, decision, stored_decisions
from tests.support.waiting import PATIENCE_S, wait_until

TRAVERSALS = ["../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
              "....//etc/passwd", "cat/000.jpg", "..\\..\\etc\\passwd", "%00",
              "file:///etc/passwd", "scan/stage.json"]  # fmt: skip


@pytest.mark.parametrize("text", TRAVERSALS)
def test_path_traversal_in_every_parameter(server: Server, served_workspace: Workspace, text: str) -> None:
    before = stored_decisions(served_workspace)
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
    assert stored_decisions(served_workspace) == before


def test_large_bodies_are_refused(server: Server) -> None:
    body = json.dumps(decision("labels", "0" * 64, "noise") | {"filler": "x" * 10_000_000}).encode()
    assert server.raw("POST", "/api/decide", body)[0].status == 413
    deep = b"[" * 100_000 + b"]" * 100_000
    assert server.raw("POST", "/api/decide", deep)[0].status == 400
    assert server.raw("POST", "/api/decide", b"\xff\xfe")[0].status == 400
    assert server.raw("POST", "/api/decide", b"[1]")[0].status == 400
    assert server.get("/api/state")["annotator"] == "ann"


def test_hostile_names_come_as_text_and_pictures_as_fresh_pixels(server: Server, served_workspace: Workspace) -> None:
    page = server.get("/api/page", queue="noise-seeds", search="newline", status="all")
    (item,) = page["items"]
    assert item["file"] == f"cat/{EVIL_NAME}"
    assert EVIL_LABEL in server.get("/api/state")["labels"]
    answer, data = server.raw("GET", f"/picture/{item['key']}/thumb")
    source = (served_workspace.root.parent / "images" / "cat" / EVIL_NAME).read_bytes()
    assert answer.getheader("Content-Type") == "image/jpeg" and data[:3] == b"\xff\xd8\xff" and data != source
    path = served_workspace.root.parent / "shown.jpg"
    path.write_bytes(data)
    assert Image.open(path).size == (48, 48)
    assert str(server.raw("GET", "/api/state")[0].getheader("Content-Type")) == "application/json"


def test_a_file_that_changed_since_the_scan_is_not_shown(own_workspace: Workspace) -> None:
    with Server(own_workspace.root) as one:
        item = one.enter().get("/api/page", queue="noise-seeds", search="dog/")["items"][0]
        (own_workspace.root.parent / "images" / item["file"]).write_bytes(b"GIF89a<script>")
        answer, said = one.raw("GET", f"/picture/{item['key']}/thumb")
        assert answer.status == 410 and b"changed" in said


def test_the_server_process_does_not_load_torch() -> None:
    code = "import sys, cleaner.cli.app, cleaner.review.server; print({'torch', 'timm', 'sklearn'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_idle_connections_shut_nobody_out(server: Server) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(300):
            idle.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert server.get("/api/state")["queues"]


def test_the_token_is_on_no_command_line(
    own_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(
        f'#!/bin/sh\nprintf %s "$*" > {seen}.part; cp "${{1#file://}}" {seen}.html; mv {seen}.part {seen}\n'
    )
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Server(own_workspace.root, "--open") as opened:
        wait_until(seen.exists)
        (page,) = tmp_path.glob("cleaner-review-*.html")
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        token = opened.url.partition("token=")[2]
        assert token and token in (tmp_path / "seen.html").read_text()
        assert token not in seen.read_text() and seen.read_text() == page.as_uri()
        opened.process.send_signal(signal.SIGINT)
        opened.process.wait(PATIENCE_S)
        assert not page.exists()
