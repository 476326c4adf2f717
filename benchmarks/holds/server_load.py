"""The review server under load: annotators who decide without pause, idle connections, and hostile requests.

Every decision that the server said it saved must be in the store, once; idle connections shut nobody out; a hostile
request gets 4xx and changes nothing.

    python benchmarks/holds/server_load.py [--annotators 20] [--seconds 60] [--idle 300] [--hostile 5000]
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cleaner.dataset.decisions import DecisionStore
from tests.support.review_server import Server, decision, make_workspace


@dataclass
class Load:
    """What the annotators saw."""

    latencies_s: list[float] = field(default_factory=list)
    saved: dict[int, str] = field(default_factory=dict)
    """The key of each decision that was acknowledged, by its number."""
    failures: Counter[str] = field(default_factory=Counter)


def annotate(server: Server, until: float, keys: list[str], load: Load, rng: random.Random) -> None:
    """Decide, look at a page now and then, and decide again, over one connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    own = f"127.0.0.1:{server.port}"
    headers = {"Host": own, "Cookie": server.cookie, "Origin": f"http://{own}", "Content-Type": "application/json"}
    while time.monotonic() < until:
        key, verdict = rng.choice(keys), rng.choice(("noise", "normal", "drop"))
        body = json.dumps(decision("noise-seeds", key, verdict, request_id=uuid.uuid4().hex))
        reads = rng.random() < 0.2
        started = time.monotonic()
        try:
            if reads:
                connection.request("GET", "/api/page?queue=noise-seeds&status=all&limit=24", headers=headers)
            else:
                connection.request("POST", "/api/decide", body, headers)
            answer = connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            load.failures[type(error).__name__] += 1
            connection.close()
            continue
        load.latencies_s.append(time.monotonic() - started)
        if answer.status != 200:
            load.failures[str(answer.status)] += 1
        elif not reads:
            load.saved |= dict.fromkeys(document["seqs"], key)


def run_annotators(server: Server, work: Path, num: int, seconds: float) -> tuple[Load, int]:
    """The load of `num` annotators, and how many acknowledged decisions the store lacks or has otherwise."""
    keys = [i["key"] for i in server.get("/api/page", queue="noise-seeds", status="all", limit=60)["items"]]
    loads, until = [Load() for _ in range(num)], time.monotonic() + seconds
    threads = [
        threading.Thread(target=annotate, args=(server, until, keys, load, random.Random(i)))
        for i, load in enumerate(loads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = Load([t for load in loads for t in load.latencies_s], {}, Counter())
    for load in loads:
        total.saved |= load.saved
        total.failures += load.failures
    frame = DecisionStore(work / "decisions.sqlite").events()
    stored = dict(zip(frame["seq"].astype(int), frame["key"], strict=True))
    return total, sum(stored.get(seq) != key for seq, key in total.saved.items())


def hold_idle(port: int, num: int) -> list[socket.socket]:
    """`num` connections that say nothing, or half a request."""
    idle = []
    for i in range(num):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        if i % 2:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        idle.append(connection)
    return idle


Hostile = Callable[[Server, random.Random], int]


def wrong_token(server: Server, rng: random.Random) -> int:
    return server.raw("GET", f"/?token={rng.randbytes(24).hex()}", headers={"Cookie": None})[0].status


def no_cookie(server: Server, rng: random.Random) -> int:
    path = rng.choice(("/", "/api/state", "/api/page?queue=noise-seeds", "/static/app.js"))
    cookie = rng.choice((None, "a=b", f"cleaner_review_{server.port}={rng.randbytes(16).hex()}", "\x01;=;"))
    return server.raw("GET", path, headers={"Cookie": cookie})[0].status


def wrong_host(server: Server, rng: random.Random) -> int:
    host = rng.choice(("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::", "a" * 300))
    return server.raw("GET", "/api/state", headers={"Host": host})[0].status


def wrong_origin(server: Server, rng: random.Random) -> int:
    origin = rng.choice(("http://evil.example", "null", f"https://127.0.0.1:{server.port}", None))
    body = json.dumps(decision("noise-seeds", "0" * 64, "noise")).encode()
    return server.raw("POST", "/api/decide", body, {"Origin": origin})[0].status


def traversal(server: Server, rng: random.Random) -> int:
    path = rng.choice(
        (
            "/static/../server.py",
            "/static/..%2f..%2fserver.py",
            "/static/%2e%2e/%2e%2e/etc/passwd",
            "/picture/../../etc/passwd/thumb",
            "/picture/..%2f..%2fetc%2fpasswd/zoom",
            f"/picture/{'0' * 64}/thumb",
            "//etc/passwd",
            "/static/" + "a" * 2000,
        )
    )
    return server.raw("GET", path)[0].status


def large_body(server: Server, rng: random.Random) -> int:
    return server.raw("POST", "/api/decide", b" " * rng.choice((300_000, 2_000_000)))[0].status


def bad_json(server: Server, rng: random.Random) -> int:
    good = decision("noise-seeds", "0" * 64, "noise")
    body = rng.choice(
        (
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"decisions": 7}',
            b'{"decisions": [[]]}',
            b'{"a": ' + b"9" * 5000 + b"}",
            json.dumps(good | {"queue": "nothing"}).encode(),
            json.dumps(good | {"queue": {"a": 1}}).encode(),
            json.dumps(good | {"decisions": [{"kind": "image", "key": "../x", "verdict": "noise"}]}).encode(),
            json.dumps(good | {"decisions": [{"kind": "image", "key": None, "verdict": True}]}).encode(),
        )
    )
    return server.raw("POST", "/api/decide", body)[0].status


def bad_query(server: Server, rng: random.Random) -> int:
    query = rng.choice(
        ("start=-1", "limit=1e9", "start=" + "9" * 400, "status=%00", "lowest=x", "queue=%ff", "label=" + "x" * 900)
    )
    return server.raw("GET", f"/api/page?queue=noise-seeds&{query}" if "queue" not in query else f"/api/page?{query}")[
        0
    ].status


def other_method(server: Server, rng: random.Random) -> int:
    return server.raw(rng.choice(("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")), "/api/state")[0].status


HOSTILE: tuple[Hostile, ...] = (
    wrong_token,
    no_cookie,
    wrong_host,
    wrong_origin,
    traversal,
    large_body,
    bad_json,
    bad_query,
    other_method,
)


def attack(server: Server, num: int, seed: int = 0) -> dict[str, Counter[int]]:
    """Statuses of `num` hostile requests, by kind; 0: the connection was closed."""
    rng, found = random.Random(seed), {kind.__name__: Counter[int]() for kind in HOSTILE}
    for i in range(num):
        kind = HOSTILE[i % len(HOSTILE)]
        try:
            status = kind(server, rng)
        except (OSError, http.client.HTTPException):
            status = 0
        found[kind.__name__][status] += 1
    return found


def main() -> None:
    """Print the load, and the answers to hostile requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--idle", type=int, default=300)
    parser.add_argument("--hostile", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = make_workspace(Path(folder)).root
        server = Server(work, "--annotator", "load").enter()
        idle = hold_idle(server.port, options.idle)
        load, num_lost = run_annotators(server, work, options.annotators, options.seconds)
        p50, p99 = np.percentile(load.latencies_s, [50, 99]) * 1000
        print(f"{options.annotators} annotators, {options.seconds:g} s, {len(idle)} idle connections beside them")
        print(f"  {len(load.latencies_s):,} answers, {len(load.saved):,} decisions acknowledged, {num_lost} lost")
        print(f"  p50 {p50:.0f} ms, p99 {p99:.0f} ms, failures {dict(load.failures) or 'none'}")
        before = len(DecisionStore(work / "decisions.sqlite").events())
        wrong = num_lost + load.failures.total()
        for kind, statuses in attack(server, options.hostile).items():
            print(f"  {kind:14} {dict(sorted(statuses.items()))}")
            wrong += sum(num for status, num in statuses.items() if not 400 <= status < 500)
        wrong += len(DecisionStore(work / "decisions.sqlite").events()) - before
        wrong += "queues" not in server.get("/api/state") and 1
        for connection in idle:
            connection.close()
        server.kill()
    print(f"{options.hostile:,} hostile requests; {wrong} things wrong in all")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
