"""Kill the review server with SIGKILL in the midst of a scripted review, again and again.

Every decision that the server has acknowledged must be in the store, and none twice, although the client sends every
request that got no answer again to the next server.

    python benchmarks/review_kills.py [--kills 200]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import random
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cleaner.dataset.decisions import DecisionStore
from tests.support.review_server import Server, decision, make_workspace


@dataclass
class Outcome:
    """What was acknowledged, and what became of it."""

    num_kills: int = 0
    num_killed_in_flight: int = 0
    num_acknowledged: int = 0
    num_saved_but_not_acknowledged: int = 0
    num_lost: int = 0
    num_doubled: int = 0


def run_kills(work: Path, num_kills: int, rng: random.Random) -> Outcome:
    """A review that is interrupted `num_kills` times, each while a decision that was drawn is on its way."""
    outcome = Outcome()
    acknowledged: list[tuple[str, list[int]]] = []  # what the server said that it saved: verdict text and seqs
    pending: dict[str, Any] | None = None
    num_sent = 0
    for _ in range(num_kills):
        server = Server(work, "--annotator", "script").enter()
        keys = [i["key"] for i in server.get("/api/page", queue="noise-seeds", status="all", limit=60)["items"]]
        timer = threading.Timer(rng.uniform(0, 0.01), server.process.kill)
        before = outcome.num_saved_but_not_acknowledged
        last = rng.randint(2, 10)
        for number in itertools.count():
            if number == last:
                timer.start()
            if pending is None:
                verdict = rng.choice(["noise", "normal", "drop"])
                pending = decision("noise-seeds", rng.choice(keys), verdict, request_id=uuid.uuid4().hex)
                num_sent += 1
            try:
                status, answer = server.post("/api/decide", pending)
            except (OSError, http.client.HTTPException):
                outcome.num_killed_in_flight += 1
                break
            assert status == 200, (status, answer)
            acknowledged.append((pending["decisions"][0]["key"], answer["seqs"]))
            pending = None
        timer.join()
        server.kill()
        outcome.num_kills += 1
        saved = len(DecisionStore(work / "decisions.sqlite").events())
        outcome.num_saved_but_not_acknowledged = before + max(0, saved - len(acknowledged))
        time.sleep(0.01)
    frame = DecisionStore(work / "decisions.sqlite").events()
    key_of = dict(zip(frame["seq"].astype(int), frame["key"], strict=True))
    outcome.num_acknowledged = len(acknowledged)
    outcome.num_lost = sum(any(key_of.get(seq) != key for seq in seqs) for key, seqs in acknowledged)
    outcome.num_doubled = max(0, len(frame) - num_sent)
    return outcome


def main() -> None:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder))
        started = time.monotonic()
        print(run_kills(workspace.root, options.kills, random.Random(options.seed)))
        print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
