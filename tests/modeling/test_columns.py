"""Tables in memory and in files: the same rows, room taken beforehand, and nothing left behind."""

from __future__ import annotations

import gc
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cleaner.errors import BadInputError, CleanerError
from cleaner.modeling import columns
from cleaner.modeling.columns import Columns, TableFile, new_table, side_by_side
from cleaner.modeling.embedding_views import Embeddings

_HOLDS = """
import sys, time
from pathlib import Path
from cleaner.modeling.columns import new_table
table = new_table(100, 8, "float16", Path(sys.argv[1]), in_file=True)
table[:50] = 1
print("half", flush=True)
time.sleep(60)
"""


def files_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("bound", [0, 1 << 40])
def test_a_table_is_in_memory_or_in_a_file_that_ends_with_it(
    bound: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BYTES_IN_MEMORY", bound)
    table = new_table(5, 3, np.float16, tmp_path)
    table[:] = np.arange(15).reshape(5, 3)
    assert len(files_in(tmp_path)) == (bound == 0)
    part = table[1:3]
    del table
    gc.collect()
    assert np.array_equal(part, [[3, 4, 5], [6, 7, 8]]) and len(files_in(tmp_path)) == (bound == 0)
    del part
    gc.collect()
    assert not files_in(tmp_path)
    assert new_table(0, 3, np.float16, tmp_path).shape == (0, 3)


def test_blocks_side_by_side_are_one_table() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.random((6, 2)).astype(np.float16), rng.random((6, 3)).astype(np.float16)
    table, whole = side_by_side([left, right]), np.concatenate([left, right], axis=1)
    assert isinstance(table, Columns) and table.shape == (6, 5) and len(table) == 6 and table.dtype == np.float16
    for rows in (np.array([4, 4, 0]), slice(1, 5), whole[:, 0] > 0.5, 3):
        assert np.array_equal(table[rows], whole[rows])
    assert np.array_equal(np.asarray(table), whole)
    assert side_by_side([left]) is left


def test_another_process_opens_what_lies_in_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.random((7, width)).astype(np.float16) for width in (2, 3)]
    ours = Embeddings.of_views([side_by_side(blocks)], blocks[0]).in_files(tmp_path)
    files = ours.files()
    theirs = files.open()
    assert np.array_equal(theirs.plain, np.concatenate(blocks, axis=1)) and len(theirs.views) == 1
    assert theirs.style is not None and np.array_equal(theirs.style, blocks[0])
    theirs.style[0] = 9  # stays in the process that writes
    assert ours.style is not None and np.array_equal(ours.style, blocks[0])
    assert len(files_in(tmp_path)) == 3
    (path,) = (Path(file.path) for file in files.style or ())
    with path.open("r+b") as file:
        file.truncate(10)
    with pytest.raises(BadInputError, match="damaged"):
        files.open()
    path.unlink()
    with pytest.raises(BadInputError, match="gone"):
        files.open()
    assert TableFile.of(np.zeros((2, 2))) is None


def test_what_a_killed_run_left_is_removed_and_what_runs_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        (theirs,) = files_in(tmp_path)
        ours = new_table(10, 2, np.float16, tmp_path, in_file=True)
        assert theirs.exists() and len(files_in(tmp_path)) == 2
        process.send_signal(signal.SIGKILL)
    assert theirs.exists()
    other = new_table(10, 2, np.float16, tmp_path, in_file=True)
    assert not theirs.exists() and len(files_in(tmp_path)) == 2
    del ours, other


def test_where_there_is_no_room_that_is_said_before_anything_is_written(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(CleanerError, match="no space left"):
            new_table(10_000, 2, np.float16, tmp_path, in_file=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not files_in(tmp_path)
