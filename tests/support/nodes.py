"""Nodes of a Ray cluster that die while they work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def files_below(folder: Path, pattern: str) -> list[Path]:
    """Files of that name below a folder in which others work; none if one of its folders goes while it is listed."""
    try:
        return list(folder.rglob(pattern))
    except FileNotFoundError:
        return []


@contextmanager
def node_that_dies(cluster: Any, folder: Path, *, after: int) -> Iterator[None]:
    """A second node for a block, killed without warning once `after` tasks have left their marks in `folder`."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    over, killed = threading.Event(), threading.Event()

    def kill() -> None:
        while len(files_below(folder, "*.arrays")) < after and not over.wait(0.01):
            pass
        cluster.remove_node(node, allow_graceful=False)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
        assert killed.is_set(), "the work was done before the node was dead"
    finally:
        over.set()
        thread.join()
