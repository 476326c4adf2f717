"""The store of decisions: what it refuses, what it keeps through kills and threads."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from cleaner.dataset.decisions import DecisionStore
from cleaner.errors import BadInputError
from tests.support.decisions import A, B, in_force


def test_a_store_that_does_not_exist_reads_as_empty_and_is_not_created(decisions: DecisionStore) -> None:
    assert decisions.events().empty
    assert decisions.image_verdicts().empty and decisions.class_verdicts().empty and decisions.undecided().empty
    assert not decisions.path.exists()


@pytest.mark.parametrize(
    ("kind", "key", "verdict", "label"),
    [
        ("image", "abc", "noise", ""),
        ("image", A.upper(), "noise", ""),
        ("image", A, "bad", ""),
        ("image", A, "merge", "cat"),
        ("image", A, "", ""),
        ("image", A, "label", ""),
        ("image", A, "noise", "cat"),
        ("class", "", "drop", ""),
        ("class", "cat", "noise", ""),
        ("class", "cat", "merge", "cat"),
        ("class", "cat", "merge", ""),
        ("thing", "cat", "drop", ""),
        ("class", "caf\udce9", "drop", ""),
    ],
)
def test_what_does_not_fit_together_is_refused(
    decisions: DecisionStore, kind: str, key: str, verdict: str, label: str
) -> None:
    with pytest.raises(BadInputError):
        decisions.add(kind, key, verdict, label=label)
    assert decisions.events().empty


def test_events_cannot_be_changed_deleted_or_replaced(decisions: DecisionStore) -> None:
    decisions.add("image", A, "noise")
    connection = sqlite3.connect(decisions.path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for statement in (
        "UPDATE events SET verdict = 'normal'",
        "DELETE FROM events",
        f"REPLACE INTO events VALUES (1, 'image', '{B}', '', 'drop', '', '', '', NULL)",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
    assert in_force(decisions) == {A: ("noise", "")}


def test_a_file_that_is_no_store_is_a_clear_error(decisions: DecisionStore) -> None:
    decisions.path.write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(BadInputError, match="not a store of decisions"):
        decisions.events()


def test_every_confirmed_decision_outlives_a_kill(decisions: DecisionStore) -> None:
    program = (
        "import sys; from pathlib import Path; from cleaner.dataset.decisions import DecisionStore\n"
        "store = DecisionStore(Path(sys.argv[1]))\n"
        "for i in range(100000): print(store.add('image', f'{i:064x}', 'noise'), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(decisions.path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        confirmed = [child.stdout.readline() for _ in range(50)]
        child.kill()
        confirmed += child.stdout.readlines()
    num_confirmed = sum(line.endswith("\n") for line in confirmed)
    assert num_confirmed >= 50
    assert len(decisions.events()) >= num_confirmed


def test_threads_may_add_at_once(decisions: DecisionStore) -> None:
    def add(worker: int) -> None:
        for i in range(10):
            decisions.add("image", f"{worker * 100 + i:064x}", "noise", annotator=str(worker))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decisions.events()["seq"].tolist() == list(range(1, 41))
