"""What a stage reads is what makes it stale: at the command line, `status` and the stage itself agree."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.program import Program


@pytest.fixture
def seeds(small_images: Path) -> Path:
    return small_images / "seeds.csv"


def seed_names(seeds: Path, is_noise: str, work: Path) -> list[str]:
    """The seeds of one kind that the scan kept."""
    kept = set(noise_rows(work).query("drop_stage != 'scan'").index)
    with seeds.open(newline="") as file:
        return [
            row["file_name"] for row in csv.DictReader(file) if row["is_noise"] == is_noise and row["file_name"] in kept
        ]


def noise_rows(work: Path) -> pd.DataFrame:
    return pd.read_parquet(work / "noise" / "manifest.parquet").set_index("file_name")


def state(program: Program, work: Path, stage: str) -> dict[str, Any]:
    document = program("status", "-C", work, "--no-images", "--json").document("status")
    return next(s for s in document["stages"] if s["stage"] == stage)


def num_seeds(work: Path) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads((work / "noise" / "stage.json").read_text())["notes"]
    return notes["seeds"]


def decide_label(program: Program, work: Path, names: Iterable[str]) -> None:
    """Say of each image that its given label is right."""
    for label, rows in noise_rows(work).loc[list(names)].groupby("label"):
        assert program("decide", *rows.index, "--label", label, "-C", work).exit_code == 0


def test_a_label_leaves_a_normal_seed_a_seed(small_copy: Path, seeds: Path, program: Program) -> None:
    work = small_copy
    before, counts = (work / "noise" / "manifest.parquet").read_bytes(), num_seeds(work)
    decide_label(program, work, seed_names(seeds, "false", work)[:12])
    assert state(program, work, "noise")["state"] == "complete"
    assert program("noise", "--seeds", seeds, "-C", work, "--force", "-q").exit_code == 0
    assert num_seeds(work) == counts
    assert (work / "noise" / "manifest.parquet").read_bytes() == before


def test_a_label_takes_a_noise_seed_away_and_its_undoing_brings_it_back(
    small_copy: Path, seeds: Path, program: Program
) -> None:
    work, run = small_copy, ("noise", "--seeds", seeds, "-C", small_copy)
    before, counts = (work / "noise" / "manifest.parquet").read_bytes(), num_seeds(work)
    name = seed_names(seeds, "true", work)[0]
    decide_label(program, work, [name])
    assert state(program, work, "noise")["why"] == "people decided more since"
    assert not program(*run, "--json").document("stage")["was_current"]
    assert num_seeds(work) == counts | {"noise": counts["noise"] - 1}
    row = noise_rows(work).loc[name]
    assert row["keep"] and not row["is_noise"] and row["noise_evidence"] == "person"
    assert state(program, work, "noise")["state"] == "complete"
    assert program(*run, "--json").document("stage")["was_current"]
    assert program("decide", name, "--undo", "-C", work).exit_code == 0
    assert state(program, work, "noise")["why"] == "people decided more since"
    assert not program(*run, "--json").document("stage")["was_current"]
    assert (work / "noise" / "manifest.parquet").read_bytes() == before


def test_labels_do_not_change_the_seeds_of_a_cold_start(small_copy: Path, program: Program) -> None:
    work = small_copy
    assert program("noise", "-C", work, "-q").exit_code == 0
    before = (work / "noise" / "manifest.parquet").read_bytes()
    kept = noise_rows(work).query("keep and split == 'train'")
    decide_label(program, work, kept.index[1::2])
    assert state(program, work, "noise")["state"] == "complete"
    assert program("noise", "-C", work, "--force", "-q").exit_code == 0
    assert (work / "noise" / "manifest.parquet").read_bytes() == before


def test_predictions_that_changed_make_labels_stale(
    small_copy: Path, seeds: Path, program: Program, tmp_path: Path
) -> None:
    work = small_copy
    rows = noise_rows(work).query("keep")
    classes = sorted(set(rows["clean_label"]))
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(len(classes), 0.2), len(rows)).astype(np.float32)
    np.save(tmp_path / "p.npy", probs)
    (tmp_path / "ids.txt").write_text("\n".join(rows.index) + "\n")
    given = [
        "--pred-probs",
        tmp_path / "p.npy",
        "--pred-ids",
        tmp_path / "ids.txt",
        "--top-k",
        "1",
        "--max-rounds",
        "0",
    ]
    assert program("labels", *given, "-C", work, "-q").exit_code == 0
    assert state(program, work, "labels")["state"] == "complete"
    (tmp_path / "ids.txt").touch()
    assert state(program, work, "labels")["state"] == "complete"
    np.save(tmp_path / "p.npy", probs[:, ::-1])
    stale = state(program, work, "labels")
    assert stale["state"] == "stale" and stale["why"] == f"changed: pred_probs ({tmp_path / 'p.npy'})"
    dry = program(*shlex.split(stale["command"]), "-C", work, "--dry-run", "--json").document("dry-run")
    assert dry["stages"] == [{"stage": "labels", "would_run": True, "why": stale["why"]}]
    assert program(*shlex.split(stale["command"]), "-C", work, "-q").exit_code == 0
    assert state(program, work, "labels")["state"] == "complete"
    (tmp_path / "ids.txt").write_text("\n".join(rows.index[::-1]) + "\n")
    assert state(program, work, "labels")["why"] == f"changed: pred_probs ({tmp_path / 'ids.txt'})"


def test_stages_that_are_up_to_date_start_without_torch(small_copy: Path, small_images: Path, seeds: Path) -> None:
    run = ["run", str(small_images / "images"), "--seeds", str(seeds), "-C", str(small_copy)]
    code = (
        f"import sys; from cleaner.cli.app import main; sys.argv = ['cleaner', *{run!r}]\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, {'torch', 'timm'} & {*sys.modules}, file=sys.__stdout__)"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert sum("up to date, nothing done" in line for line in lines) == 4
    assert lines[-1] == "0 set()"
