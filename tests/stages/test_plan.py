from __future__ import annotations

import json
from pathlib import Path

import pytest

from cleaner.config import Config, RunOptions
from cleaner.dataset.stage_inputs import STAGES
from cleaner.errors import BadInputError
from cleaner.stages.plan import plan_run
from tests.support.backbones import SMALL
from tests.support.places import SAMPLE
from tests.support.program import Program, tree_digest

SMALL_SIZE = ("--workers", 1, "--image-size", 64)
NUM_TRIES = 3
"""Of a plan whose times are compared: other work that comes and goes must not decide."""


def test_the_plan_fits_the_real_run(sample_run: Path) -> None:
    """Sizes are near the real ones; times are compared loosely, since this machine may have had other work since."""
    records = {s: json.loads((sample_run / s / "stage.json").read_text()) for s in STAGES}
    real_s = sum(record["seconds"] for record in records.values())
    for _ in range(NUM_TRIES):
        plan = plan_run(SAMPLE / "images", Config(embedding=SMALL), RunOptions(workers=1))
        stages_s = plan.total_s - plan.seconds["start"]
        if real_s / 5 < stages_s < real_s * 5:
            break
    else:
        pytest.fail(f"planned {stages_s:.1f} s, and it took {real_s:.1f} s")
    assert abs(plan.num_files - records["scan"]["counts"]["rows"]) < 10  # links that lead out are no files
    assert plan.num_classes == 24 and plan.num_tried < plan.num_files / 3
    real_bytes = sum(
        p.stat().st_size for p in sample_run.rglob("*") if p.is_file() and p.suffix in (".arrays", ".parquet")
    )
    assert real_bytes / 2 < plan.total_disk_bytes < real_bytes * 2
    assert 300e6 < plan.total_memory_bytes < 6e9


def test_the_parts_add_up_and_grow_with_the_images(small_images: Path) -> None:
    plan = plan_run(small_images / "images", Config(embedding=SMALL), RunOptions(workers=1))
    assert plan.total_s == pytest.approx(sum(plan.seconds.values()))
    assert plan.total_memory_bytes == sum(plan.memory_bytes.values())
    assert plan.total_disk_bytes == sum(plan.disk_bytes.values())
    assert set(plan.seconds) == {"start", "embedding", *STAGES}
    assert all(seconds >= 0 for seconds in plan.seconds.values())
    assert plan.seconds["embedding"] > plan.seconds["scan"] > 0
    assert plan.seconds["embedding"] == pytest.approx(256 / plan.embedding_rate, rel=0.01)  # four whole batches


def test_many_more_files_like_these(small_images: Path) -> None:
    """A thousand, and so many that heads are computed in closed form, from one small folder."""
    few, most = (
        plan_run(small_images / "images", Config(embedding=SMALL), RunOptions(workers=1), num_files=num)
        for num in (10**3, 10**9)
    )
    assert (few.num_files, most.num_files) == (10**3, 10**9) and few.num_tried < 200
    for name in ("scan", "embedding", "noise", "labels"):
        assert few.seconds[name] < most.seconds[name], name
    assert 1e5 < most.seconds["embedding"] / few.seconds["embedding"] < 1e7, "it grows with the images"
    assert most.disk_bytes["embeddings"] == pytest.approx(1e6 * few.disk_bytes["embeddings"], rel=0.01)
    # what does not fit a small part of the memory lies in files
    assert few.disk_bytes["features"] == 0 < few.memory_bytes["embeddings"]
    assert most.memory_bytes["embeddings"] == 0 and most.disk_bytes["features"] > 5e12
    for plan in (few, most):
        one, ten, hundred = (plan.seconds_on_machines[num] for num in ("1", "10", "100"))
        assert one == plan.total_s > ten > hundred > 0.99 * plan.seconds["noise"]
    assert most.seconds_on_machines["100"] - most.seconds["noise"] < 0.05 * most.total_s, "the rest is shared"


def test_the_command_writes_nothing_and_says_what_to_do_next(
    small_images: Path, tmp_path: Path, program: Program
) -> None:
    (tmp_path / "work").mkdir()
    before = tree_digest(tmp_path)
    shown = program("plan", small_images / "images", "-C", "work", *SMALL_SIZE)
    assert shown.exit_code == 0, shown.err
    assert "total" in shown.out and f"next: cleaner run -C work {small_images / 'images'}" in shown.out
    document = program("plan", small_images / "images", *SMALL_SIZE, "--json").document("plan")
    assert document["num_files"] == 242 and document["warnings"] == []
    assert tree_digest(tmp_path) == before


def test_what_cannot_be_planned_is_told(tmp_path: Path) -> None:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    with pytest.raises(BadInputError, match="holds no files"):
        plan_run(tmp_path / "images", Config(), RunOptions())
    (tmp_path / "images" / "cat" / "0.jpg").write_text("no image")
    with pytest.raises(BadInputError, match="none of 1 files"):
        plan_run(tmp_path / "images", Config(), RunOptions())
