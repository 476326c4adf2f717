"""Runs of the real command line that can be killed: see run_launcher.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PATIENCE_S

LAUNCHER = Path(__file__).with_name("run_launcher.py")
KILLED = -9


class Launcher:
    """Runs of the real command line, each in a process of its own that can be killed."""

    def __init__(self, images: Path) -> None:
        environment = os.environ | {"COLUMNS": "200", "OMP_WAIT_POLICY": "PASSIVE"}  # for the sake of busy machines
        self._process = subprocess.Popen(
            [sys.executable, str(LAUNCHER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.images = images
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def start(self, *arguments: object, **rest: Any) -> dict[str, Any]:
        """One run: its exit code (minus the signal) and stderr."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps({"argv": [str(a) for a in arguments]} | rest), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def run(self, workspace: Path, *, workers: int = 1, **rest: Any) -> dict[str, Any]:
        """`cleaner run` over the small set."""
        seeds = self.images / "seeds.csv"
        options = ("--seeds", seeds, "-C", workspace, "--workers", workers)
        return self.start("run", self.images / "images", *options, **rest)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def launcher(small_images: Path) -> Iterator[Launcher]:
    launcher = Launcher(small_images)
    yield launcher
    launcher.close()
