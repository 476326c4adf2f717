"""What the scan remembers of files that it saw."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cleaner.dataset import images, inspection
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.pixels import FORMATS, can_decode
from cleaner.dataset.store import Arrays, ArrayStore, sha256_file
from cleaner.stages import inputs
from tests.support import fragile
from tests.support.places import REPO
from tests.support.scanned import Recorder, make_tree, picture, save, scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "images")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are inspected, in this process so that it shows."""
    names: list[str] = []
    true_inspect = inspection.inspect_image

    def inspect(path: str, max_pixels: int) -> ImageFacts:
        names.append(Path(path).name)
        return true_inspect(path, max_pixels)

    class InThisProcess:
        def map(
            self, function: Any, tasks: list[tuple[str, Any]], *, store: ArrayStore, rescue: object
        ) -> Iterator[Arrays]:
            for key, argument in tasks:
                yield store.remember(key, lambda argument=argument: function(argument))

    monkeypatch.setattr(inspection, "inspect_image", inspect)
    monkeypatch.setattr(inputs, "open_engine", lambda options: InThisProcess())
    return names


def test_unchanged_files_are_not_read_again(root: Path, work: Path, looked_at: list[str]) -> None:
    scan(root, work)
    assert len(looked_at) == 12
    looked_at.clear()
    save(root / "a/new.png", picture(80))
    save(root / "b/01.png", picture(81))
    (root / "c/02.png").unlink()
    rows, _ = scan(root, work)
    assert sorted(looked_at) == ["01.png", "new.png"]
    looked_at.clear()
    fresh, _ = scan(root, work.parent / "fresh")
    assert len(looked_at) == 12
    pd.testing.assert_frame_equal(rows, fresh)
    looked_at.clear()
    next((work / "cache/scan").rglob("*.arrays")).write_bytes(b"damaged")
    again, _ = scan(root, work, force=True)
    assert looked_at
    pd.testing.assert_frame_equal(rows, again)


def test_what_was_stored_before_is_still_understood(root: Path, work: Path, looked_at: list[str]) -> None:
    """The order of facts in the cache is fixed, until its version is raised."""
    scan(root, work)
    store = ArrayStore(next((work / "cache/scan").rglob("*.arrays")).parent)
    stored = [arrays for key in store.stored_keys() if (arrays := store.get(key)) is not None]
    rows = [row for arrays in stored for row in json.loads(arrays["facts"].tobytes())]
    ((key, facts),) = (row for row in rows if row[0][0] == "a/00.png")
    assert key[1] == (root / "a/00.png").stat().st_size
    assert facts[:2] == [sha256_file(root / "a/00.png"), key[1]] and facts[2:4] == ["PNG", "RGB"]
    assert facts[6:8] == ["", ""] and len(facts[8]) == 64 and len(facts) == 16


@pytest.mark.skipif(not can_decode("AVIF"), reason="this Pillow reads no AVIF")
def test_a_file_is_looked_at_again_once_there_is_a_decoder(root: Path, work: Path, looked_at: list[str]) -> None:
    save(root / "a/new.avif", picture(80))
    with pytest.MonkeyPatch.context() as patch:
        for module in (images, inspection):
            patch.setattr(module, "can_decode", lambda kind: kind in FORMATS)
        for radius in (18, 17):
            assert scan(root, work, near_radius=radius)[0].loc["a/new.avif", "fault"] == "unsupported_format"
    assert len(looked_at) == 13
    rows, _ = scan(root, work, near_radius=0)
    assert rows.loc["a/new.avif", "fault"] == "" and looked_at[13:] == ["new.avif"]


def test_a_forced_scan_reads_every_byte_anew(root: Path, work: Path, looked_at: list[str]) -> None:
    """Size and time say nothing of a file that something wrote into in place."""
    before, _ = scan(root, work)
    path = root / "b/04.png"
    status, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-9] + bytes(9))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    looked_at.clear()
    scan(root, work, near_radius=0)
    assert looked_at == []
    recorder = Recorder()
    rows, _ = scan(root, work, force=True, progress=recorder)
    assert len(looked_at) == 12 and recorder.done == 12
    assert rows.loc["b/04.png", "image_id"] == sha256_file(path) != before.loc["b/04.png", "image_id"]
    (warning,) = recorder.warnings
    assert "b/04.png" in warning and "1 files" in warning
    looked_at.clear()
    again, _ = scan(root, work, near_radius=1)
    assert looked_at == [] and again.loc["b/04.png", "image_id"] == sha256_file(path)


@pytest.mark.parametrize("fault", ["unreadable", "decoder_crash"])
def test_a_fault_that_may_be_mended_is_looked_at_again(
    root: Path, work: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    true_inspect = inspection.inspect_image

    def inspect(path: str, max_pixels: int) -> ImageFacts:
        facts = true_inspect(path, max_pixels)
        return ImageFacts(fault=fault) if path.endswith("00.png") else facts

    with monkeypatch.context() as patch:
        patch.setattr(inspection, "inspect_image", inspect)
        for radius in (18, 17):
            rows, _ = scan(root, work, near_radius=radius)
            assert rows.loc["a/00.png", "fault"] == fault and rows["readable"].sum() == 11
    looked_at.clear()
    rows, _ = scan(root, work, near_radius=0)
    assert rows["readable"].all() and looked_at == ["00.png"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_decoder_that_crashes_or_hangs_costs_its_file_alone(
    root: Path, work: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(root / "a/crash.png", picture(50, *fragile.CRASHING))
    save(root / "b/hang.png", picture(51, *fragile.HANGING))
    (root / "b/empty.png").touch()
    with monkeypatch.context() as patch:
        patch.setattr(inspection, "inspect_batch", fragile.inspect_batch)
        rows, result = scan(root, work, workers=workers, file_timeout=0.2)
        assert result.record.counts["faults"] == {"decoder_crash": 1, "empty": 1, "timeout": 1}
        assert rows["readable"].sum() == 12
        for name, fault in (("a/crash.png", "decoder_crash"), ("b/hang.png", "timeout")):
            row = rows.loc[name]
            assert (row["fault"], row["drop_reason"], row["format"]) == (fault, "unreadable", "PNG")
            assert row["image_id"] == sha256_file(root / name) and row["file_bytes"] == (root / name).stat().st_size
    rows, _ = scan(root, work, workers=workers, file_timeout=0.1, near_radius=0)
    assert rows.loc["a/crash.png", "fault"] == "", "a mended decoder is noticed"
    assert rows.loc["b/hang.png", "fault"] == "timeout", "it had more time before"
    rows, result = scan(root, work, workers=workers, file_timeout=5)
    assert not result.was_current and rows.loc["b/hang.png", "fault"] == ""


def test_a_jpeg_of_thousands_of_empty_scans_ends_at_its_time(root: Path, work: Path) -> None:
    """libjpeg goes over the whole picture for each scan, and none of them needs to say anything."""
    data = io.BytesIO()
    picture(60, 1600, 1200).save(data, "JPEG", progressive=True, quality=10)
    whole = data.getvalue()
    start = whole.rfind(b"\xff\xda")  # the last scan, again and again
    (root / "c/bomb.jpg").write_bytes(whole[:-2] + whole[start:-2] * 3000 + whole[-2:])
    rows, _ = scan(root, work, file_timeout=0.3)
    assert rows.loc["c/bomb.jpg", "fault"] == "timeout" and rows["readable"].sum() == 12


PROGRAM = """
import sys
import cleaner
from cleaner.dataset import inspection

inspection.BATCH_FILES = 10
cleaner.scan(cleaner.open_workspace(sys.argv[2]), sys.argv[1], workers=2)
"""
IN_WORKERS_TOO = """
import multiprocessing, os, signal, sys
from pathlib import Path

def kill_parent_at_fifth_result(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".arrays") and (parent := multiprocessing.parent_process()):
        if len(list(Path(arguments[1]).parent.glob("*.arrays"))) == 4:
            os.kill(parent.pid, signal.SIGKILL)

sys.addaudithook(kill_parent_at_fifth_result)
"""


def test_a_killed_scan_goes_on_where_it_was(tmp_path: Path, work: Path) -> None:
    root = tmp_path / "images"
    data = io.BytesIO()
    for i in range(300):
        data.seek(0)
        data.truncate()
        picture(i, 640, 480).save(data, "JPEG", quality=80)
        path = root / f"{'abc'[i % 3]}/{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/sitecustomize.py").write_text(IN_WORKERS_TOO)
    command = [sys.executable, str(program), str(root), str(work)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": f"{tmp_path / 'hooks'}:{REPO}"}, check=False)
    assert killed.returncode == -signal.SIGKILL, "the scan was to be killed half way"
    done = len(list(work.rglob("*.arrays")))
    assert 4 <= done < 30 and not (work / "scan/stage.json").exists()
    recorder = Recorder()
    _, resumed = scan(root, work, progress=recorder)
    _, undisturbed = scan(root, tmp_path / "other", workers=2)
    assert resumed.record.outputs == undisturbed.record.outputs
    assert recorder.done == recorder.total == 300


@pytest.mark.parametrize(("num", "size"), [(1, 8), (600, 18), (3000, 93), (100_000, 128)])
def test_few_files_make_small_tasks_so_that_workers_share_them(num: int, size: int) -> None:
    assert inspection.count_batch(num) == size
    assert inspection.count_batch(num, remote=True) == inspection.BATCH_FILES
