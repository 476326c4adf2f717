"""Short forms of the trials in benchmarks/holds; docs/reliability.md says what the long ones found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.holds import kills, mutated_files, server_load
from cleaner.dataset.store import sha256_file
from tests.support.launcher import Launcher
from tests.support.review_server import Server, make_workspace
from tests.support.scanned import scan


def test_each_of_200_damaged_files_is_accounted_for(tmp_path: Path) -> None:
    root = tmp_path / "images"
    mutated_files.write_mutated(root, 200, random.Random(17), mutated_files.sound_files())
    digests = {p.relative_to(root).as_posix(): sha256_file(p) for p in root.rglob("*") if p.is_file()}
    rows, _ = scan(root, tmp_path / "work", near_radius=0)
    assert rows["image_id"].to_dict() == digests and len(rows) == 200
    assert (rows["readable"] == (rows["fault"] == "")).all() and rows["fault"].nunique() > 4
    assert digests == {p.relative_to(root).as_posix(): sha256_file(p) for p in root.rglob("*") if p.is_file()}


def test_kills_of_an_export_and_an_import_of_decisions_lose_nothing(launcher: Launcher, tmp_path: Path) -> None:
    titles = ["export folder", "decisions import"]
    trials = kills.try_all(launcher, tmp_path, 4, titles, way=["scan", *titles])
    assert sum(trial.num_kills for trial in trials.values()) == 4
    assert [trial.wrong for trial in trials.values()] == [[], []]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(make_workspace(tmp_path).root, "--annotator", "load").enter()
    yield server
    server.kill()


def test_annotators_beside_idle_connections_and_hostile_requests(server: Server, tmp_path: Path) -> None:
    idle = server_load.hold_idle(server.port, 60)
    load, num_lost = server_load.run_annotators(server, tmp_path / "work", 4, 1.0)
    assert load.saved and num_lost == 0 and not load.failures
    for kind, statuses in server_load.attack(server, 90).items():
        assert all(400 <= status < 500 for status in statuses), (kind, statuses)
    assert len(idle) == 60 and server.get("/api/state")["queues"]
