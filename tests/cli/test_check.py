"""`cleaner check` as it is typed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from tests.support.places import SAMPLE
from tests.support.program import Program


def test_the_gate_counts_what_is_not_ignored(sample_run: Path, program: Program, tmp_path: Path) -> None:
    balance = pd.read_parquet(sample_run / "balance" / "manifest.parquet")
    names = balance.loc[balance["keep"] & (balance["clean_label"] == "car_van"), "file_name"].head(4).tolist()
    (tmp_path / "in" / "car_van").mkdir(parents=True)
    for name in names:
        shutil.copy(SAMPLE / "images" / name, tmp_path / "in" / "car_van")
    found = tmp_path / "found.csv"
    failed = program("check", "in", "--against", sample_run, "--fail-over", "0.5", "--out", found)
    assert failed.exit_code == 4 and f"exact copy ({names[0]})" in failed.out
    assert "4 of 4 new files have a problem (100.0%)" in failed.err and "at most 50.0%" in failed.err
    assert pd.read_csv(found)["copy_of"].tolist() == sorted(names)
    gate = ("--fail-over", "0.5", "--json")
    document = program("check", "in", "--against", sample_run, *gate)
    assert document.exit_code == 4 and document.document("check")["gate"]["passed"] is False
    ignoring = program("check", "in", "--against", sample_run, *gate, "--ignore", "exact_copy,wrong_label")
    assert ignoring.exit_code == 0 and ignoring.document("check")["bad"] == 0


def test_refusals(sample_run: Path, program: Program, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert program("check", "in", "--against", "absent").exit_code == 3
    assert not (tmp_path / "absent").exists()
    for option in (("--ignore", "ugly"), ("--fail-over", "1.5")):
        done = program("check", "in", "--against", sample_run, *option)
        assert done.exit_code == 2 and option[1] in done.err
