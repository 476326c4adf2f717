"""What the system refuses is said with what to do about it, and is called nothing else."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cleaner.system_errors import explain_failure
from tests.support.places import REPO


def refuse(number: int) -> None:
    raise OSError(number, os.strerror(number), "a/b.parquet")


@pytest.mark.parametrize(
    ("number", "what", "advice"),
    [
        (errno.ENOSPC, "a/b.parquet: no space left", "free disk space"),
        (errno.EDQUOT, "a/b.parquet: no space left", "free disk space"),
        (errno.EACCES, "a/b.parquet: permission denied", "mode"),
        (errno.EROFS, "a/b.parquet: permission denied", "another workspace"),
        (errno.EMFILE, "too many open files", "ulimit -n"),
        (errno.EIO, "a/b.parquet: the disk fails", "check the disk"),
        (errno.ENOMEM, "out of memory", "--workers"),
        (errno.EISDIR, "a/b.parquet: something else", "move it away"),
        (errno.ELOOP, "a/b.parquet: no path", "check it"),
    ],
)
def test_what_the_system_refuses_is_explained(number: int, what: str, advice: str) -> None:
    with pytest.raises(OSError) as caught:
        refuse(number)
    found = explain_failure(caught.value)
    assert found is not None and found.what.startswith(what) and advice in found.next_step
    assert found.found == str(caught.value)


def test_memory_that_cannot_be_had_is_recognised_whoever_asked_for_it() -> None:
    for ask in (lambda: np.empty(1 << 60, np.uint8), lambda: torch.empty(1 << 60, dtype=torch.uint8)):
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            ask()
        found = explain_failure(caught.value)
        assert found is not None and found.what == "out of memory"


def test_all_else_stays_unexpected() -> None:
    for error in (ValueError("memory"), OSError(errno.ECHILD, "none", "x"), RuntimeError("shapes differ")):
        assert explain_failure(error) is None
    assert explain_failure(PermissionError(errno.EACCES, "no", "x.tmp"), "x").what.startswith("x: ")  # type: ignore[union-attr]


def test_too_little_address_space_is_said_before_libraries_hang(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))

    command = [sys.executable, "-m", "cleaner", "report", "-C", str(tmp_path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        check=False,
    )
    assert done.returncode == 1 and "out of memory" in done.stderr and "ulimit -v" in done.stderr
    assert "unexpected" not in done.stderr and "interrupted" not in done.stderr
