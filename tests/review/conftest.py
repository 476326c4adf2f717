"""Fixtures of tests/review."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cleaner.dataset.workspace import Workspace
from tests.support.review_server import Server, make_workspace


@pytest.fixture(scope="module")
def served_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """What `server` serves."""
    return make_workspace(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def server(served_workspace: Workspace) -> Iterator[Server]:
    """One server for all tests that only ask, or only look at what they said themselves."""
    with Server(served_workspace.root, "--annotator", "ann") as running:
        yield running.enter()


@pytest.fixture
def own_workspace(tmp_path: Path) -> Workspace:
    """A small workspace that no other test sees."""
    return make_workspace(tmp_path, per_class=6)
