"""A Ray cluster on this machine, for all tests that want one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 32,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback interface alone
    "RAY_enable_metrics_collection": "0",  # less to start
    "RAY_health_check_period_ms": "300",  # a dead node is missed soon
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the same for Ray Train's workers
}


_USUAL_SIGTERM = signal.getsignal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def usual_sigterm() -> Iterator[None]:
    """Takes back the handler that each node of Ray's `Cluster` sets in this process: processes that later tests
    fork would have it too, and not end by SIGTERM.
    """
    yield
    signal.signal(signal.SIGTERM, _USUAL_SIGTERM)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A cluster whose head, with the driver, takes no tasks: tests add the nodes that they need, and remove them."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'cleaner-images[ray]'")
    from ray.cluster_utils import Cluster

    from cleaner.engine.ray import RayEngine

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    RayEngine(nodes.address, 0)
    yield nodes
    ray.shutdown()
    nodes.shutdown()
