"""What a program holds of memory, sampled while it runs: its own process and those it starts. Linux.

Counted is `RssAnon`: pages of files in the page cache, mapped ones too, belong to the system, which takes them back
when it needs them.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Self

_EVERY_S, _MOST_SHARE = 0.02, 0.02
"""How often memory is looked at, and the share of one core that this may take where a program has many processes."""


class MemoryWatch:
    """The most memory in MB, while the block runs: of the process `pid`, of one of those that it started, of all.

    `mapped_mb` is what the process itself had mapped of files, which the system may drop at any time (RssFile).
    """

    def __init__(self, pid: int) -> None:
        self.own_mb = self.worker_mb = self.all_mb = self.mapped_mb = 0.0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            started = time.thread_time()
            own, workers = anon_mb(self._pid), [anon_mb(pid) for pid in _below(self._pid)]
            self.own_mb = max(self.own_mb, own)
            self.mapped_mb = max(self.mapped_mb, _resident_mb(self._pid, "RssFile"))
            self.worker_mb = max([self.worker_mb, *workers])
            self.all_mb = max(self.all_mb, own + sum(workers))
            if self._ended.wait(max(_EVERY_S, (time.thread_time() - started) / _MOST_SHARE)):
                return


def anon_mb(pid: int) -> float:
    """`RssAnon` of a process in MB; 0 once it has ended."""
    return _resident_mb(pid, "RssAnon")


def _resident_mb(pid: int, kind: str) -> float:
    with contextlib.suppress(OSError):
        found = re.search(rf"{kind}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
        return int(found[1]) / 1000 if found else 0.0
    return 0.0


def _below(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    with contextlib.suppress(OSError):
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        texts = [Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="utf-8") for task in tasks]
        children = [int(child) for text in texts for child in text.split()]
        return [below for child in children for below in (child, *_below(child))]
    return []


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in another process, whose memory is free again afterwards.

    What a program later holds would else count from this process's size at the fork.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run_watched(root: Path, command: str, *options: str) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds of wall clock and of processor, and peak MB, of the real program; and what it said with --json."""
    whole = [sys.executable, "-m", "cleaner", command, "-C", str(root), "--json", *options]
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(whole, stdout=subprocess.PIPE)
    with MemoryWatch(process.pid) as watch:
        said, _ = process.communicate()
    seconds, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(whole)}: exit code {process.returncode}")
    cores = after.children_user + after.children_system - before.children_user - before.children_system
    usage = {"seconds": seconds, "core_seconds": cores, "peak_mb": watch.own_mb, "worker_mb": watch.worker_mb}
    return usage, json.loads(said)
