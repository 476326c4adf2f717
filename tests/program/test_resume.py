"""Interrupted runs end where undisturbed ones do, and the same inputs give the same bytes."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.store import exclusive_lock, sha256_file
from cleaner.progress import Silent
from tests.support.backbones import SMALL
from tests.support.launcher import KILLED, Launcher

OUTPUTS = [
    *(f"{stage}/manifest.parquet" for stage in STAGES),
    "scan/looks.safetensors",
    "noise/rounds.parquet",
    "noise/model.safetensors",
    "labels/rounds.parquet",
    "labels/predictions.safetensors",
    "balance/classes.parquet",
    "balance/class_priors.json",
    *(f"labels/models/fold_{k}.safetensors" for k in range(5)),
]
KILL_POINTS: list[dict[str, Any]] = [
    {"task": "scan", "after": 100},
    {"record": "scan"},
    {"task": "embedding", "after": 128},
    {"say": "round 1"},
    {"task": "coarse (top 5) cross-training", "after": 3},
    {"task": "coarse round 2", "after": 2},
]
"""Where a run is killed, then the one that goes on from there, and so on."""
LATE_KILL_POINTS: list[dict[str, Any]] = [{"record": "labels"}, {"task": "coherence", "after": 3}]
NUM_OPERATIONS = {"scan": 14, "noise": 16, "labels": 40, "balance": 16}
"""Operations on files of each stage that no cache saves a later run."""


@pytest.fixture(scope="module")
def undisturbed(small_run: Path) -> dict[str, str]:
    """Digests of the files of a run that nothing disturbed."""
    return digests(small_run)


@dataclass(frozen=True)
class Killed:
    """A workspace whose runs were killed one after the other, and what they wrote to stderr."""

    root: Path
    stderr: str


@pytest.fixture(scope="module")
def killed(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    root, stderr = tmp_path_factory.mktemp("killed"), ""
    for point in KILL_POINTS:
        run = launcher.run(root, kill_at=point)
        assert run["code"] == KILLED, (point, run)
        stderr += run["stderr"]
    return Killed(root, stderr)


def digests(workspace: Path) -> dict[str, str]:
    return {name: sha256_file(workspace / name) for name in OUTPUTS}


def tree(root: Path, pattern: str = "*") -> dict[str, tuple[int, str]]:
    files = (p for p in sorted(root.rglob(pattern)) if p.is_file())
    return {p.relative_to(root).as_posix(): (p.stat().st_mtime_ns, sha256_file(p)) for p in files}


# --- interruption -----------------------------------------------------------------------------------------------------


def test_a_kill_in_each_stage_changes_nothing(
    launcher: Launcher, undisturbed: dict[str, str], killed: Killed, tmp_path: Path
) -> None:
    before, work = tree(launcher.images), shutil.copytree(killed.root, tmp_path / "work")
    for point in LATE_KILL_POINTS:
        run = launcher.run(work, kill_at=point)
        assert run["code"] == KILLED, (point, run)
    done = launcher.run(work)
    assert done["code"] == 0, done["stderr"]
    assert digests(work) == undisturbed
    assert all(p.name.startswith(".") for p in work.rglob("*.tmp"))
    assert tree(launcher.images) == before, "source images were touched"


def test_a_kill_loses_the_task_in_hand_at_most(launcher: Launcher, killed: Killed, tmp_path: Path) -> None:
    work = shutil.copytree(killed.root, tmp_path / "work")
    kept = tree(work / "cache", "*.arrays")
    assert len(list((work / "cache" / "labels").iterdir())) == 2  # cross-training and round 1
    again = launcher.run(work, kill_at={"task": "coarse round 2", "after": 5})
    assert again["code"] == KILLED and tree(work / "cache", "*.arrays") == kept
    for done in ("embedding", "cross-training", "round 1"):
        assert done in killed.stderr
    assert "round 2" in again["stderr"]
    assert not [
        line for line in again["stderr"].splitlines() if line.startswith(("embedding", "coarse (", "coarse round 1"))
    ]


def test_six_kills_at_random_operations_on_files_change_nothing(
    launcher: Launcher, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    rng = random.Random(20)
    for number, (stage, num_kills) in enumerate((("scan", 1), ("noise", 2), ("labels", 2), ("balance", 1))):
        for _ in range(num_kills):
            point = {"stage": stage, "operation": rng.randint(1, NUM_OPERATIONS[stage])}
            run = launcher.run(tmp_path, kill_at=point, workers=1 + number % 2)
            assert run["code"] == KILLED, (point, run)
            assert not (tmp_path / stage / "stage.json").exists()
    assert launcher.run(tmp_path)["code"] == 0
    assert digests(tmp_path) == undisturbed


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on_to_the_same_bytes_with_two_workers(
    launcher: Launcher, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    for point in ({"task": "scan", "after": 100}, {"task": "embedding", "after": 128}):
        stopped = launcher.run(tmp_path, workers=2, interrupt_at=point)
        assert stopped["code"] == 130 and "run the same command again" in stopped["stderr"], stopped
        assert "Traceback" not in stopped["stderr"]
    assert launcher.run(tmp_path, workers=2)["code"] == 0
    # two workers all along, and one in the undisturbed run: the same bytes
    assert digests(tmp_path) == undisturbed


def test_a_second_process_meets_the_lock(launcher: Launcher, tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / ".lock"):
        met = launcher.run(tmp_path)
    assert met["code"] == 1
    assert "another cleaner is working in this workspace" in met["stderr"] and str(os.getpid()) in met["stderr"]


# --- byte identity ----------------------------------------------------------------------------------------------------


def test_a_damaged_cache_is_noticed_and_made_anew(
    launcher: Launcher, undisturbed: dict[str, str], small_copy: Path
) -> None:
    files = sorted(p for p in (small_copy / "cache").rglob("*.arrays"))
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data if number % 2 else data[: len(data) // 2])
    for stage in STAGES:
        shutil.rmtree(small_copy / stage)
    assert launcher.run(small_copy)["code"] == 0
    assert digests(small_copy) == undisturbed


def test_an_embedding_does_not_depend_on_its_neighbours(small_images: Path, tmp_path: Path) -> None:
    from cleaner.modeling.backbones import load_backbone
    from cleaner.modeling.embeddings import compute_embeddings

    paths = [p for p in sorted((small_images / "images").rglob("*.jpg")) if p.stat().st_size][:130]
    ids = [sha256_file(path) for path in paths]
    backbone = load_backbone(SMALL.replace(image_size=64), "cpu")
    together = compute_embeddings(ids, paths, backbone, tmp_path / "a", workers=2, progress=Silent())
    for row in (0, 63, 64, 129):
        alone = compute_embeddings(
            ids[row : row + 1], paths[row : row + 1], backbone, tmp_path / str(row), workers=1, progress=Silent()
        )
        assert alone.plain.tobytes() == together.plain[row].tobytes()
        assert alone.mirrored.tobytes() == together.mirrored[row].tobytes()
    # the cache is keyed by content: copies and another order need no new computation, and give the same rows
    order = [129, 0, 0, 64]
    again = compute_embeddings(
        [ids[i] for i in order], [tmp_path / "gone"] * 4, backbone, tmp_path / "a", workers=1, progress=Silent()
    )
    assert np.array_equal(again.plain, together.plain[order])


def test_a_damaged_embedding_shard_is_computed_again(small_images: Path, tmp_path: Path) -> None:
    from cleaner.modeling.backbones import load_backbone
    from cleaner.modeling.embeddings import compute_embeddings

    paths = sorted((small_images / "images").rglob("*.jpg"))[:3]
    ids = [sha256_file(path) for path in paths]
    backbone = load_backbone(SMALL.replace(image_size=64), "cpu")
    first = compute_embeddings(ids, paths, backbone, tmp_path, workers=1, progress=Silent())
    (shard,) = (tmp_path / "embeddings").rglob("*.arrays")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    second = compute_embeddings(ids, paths, backbone, tmp_path, workers=1, progress=Silent())
    assert np.array_equal(first.plain, second.plain) and np.array_equal(first.mirrored, second.mirrored)
    assert shard.read_bytes() == whole
