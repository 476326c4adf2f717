"""The balance stage on real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleaner.config import BalanceSettings, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.stages.balance import run_balance
from cleaner.stages.stage_run import StageResult
from tests.support.backbones import SMALL


def balance(workspace: Path, **settings: Any) -> tuple[StageResult, pd.DataFrame, pd.DataFrame]:
    """The result, the manifest (index file_name) and classes.parquet (index label)."""
    result = run_balance(Workspace(workspace), BalanceSettings(**{"embedding": SMALL} | settings), RunOptions())
    manifest = pd.read_parquet(workspace / "balance" / "manifest.parquet").set_index("file_name")
    return result, manifest, pd.read_parquet(workspace / "balance" / "classes.parquet").set_index("label")


def test_low_count_options(sample_copy: Path) -> None:
    low = None
    for option, action, reasons in (
        ("review", "review", set()),
        ("keep", "keep", set()),
        ("drop", "drop", {"low_count_class"}),
    ):
        result, manifest, classes = balance(sample_copy, low_count=option)
        low = classes["size_clean"] < 50
        assert {"misc", "lighthouse"} <= set(classes.index[low])
        assert set(classes.loc[low, "action"]) == {action} and set(classes.loc[~low, "action"]) == {"keep"}
        mine = manifest[manifest["drop_stage"] == "balance"]
        assert set(mine["drop_reason"]) == reasons and set(mine["label"]) == (
            set(classes.index[low]) if reasons else set()
        )
        assert result.record.counts["classes_for_people"] == (sorted(classes.index[low]) if option == "review" else [])
        assert (manifest["class_action"] == manifest["clean_label"].map(classes["action"])).all()


def test_a_dropped_class_is_named_and_all_of_them_are_never_dropped(sample_copy: Path) -> None:
    result, _, classes = balance(sample_copy, low_count="drop")
    low = classes.index[classes["size_clean"] < 50].tolist()
    (warning,) = [w for w in result.warnings if "dropped" in w]
    assert warning.startswith(f"{len(low)} classes were dropped as too small")
    assert all(name in warning for name in low[:5])
    result, manifest, classes = balance(sample_copy, low_count="drop", min_count=100_000)
    assert set(classes["action"]) == {"review"} and not (manifest["drop_stage"] == "balance").any()
    largest = int(classes["size_clean"].nlargest(2).iloc[1]) + 1  # one class alone would be left
    result, manifest, classes = balance(sample_copy, low_count="drop", min_count=largest)
    assert (classes["action"] == "keep").sum() == 1 and (classes["action"] == "review").sum() == len(classes) - 1


def test_a_lower_minimum_leaves_small_classes_alone(sample_copy: Path) -> None:
    _, manifest, classes = balance(sample_copy, min_count=10)
    found = classes["finding"] != ""  # by labels, whatever the size
    assert set(classes.index[found]) <= {"misc"} and set(classes.loc[found, "action"]) <= {"review"}
    assert set(classes.loc[~found, "action"]) == {"keep"} and classes["coherence_p"].isna().all()
    assert not (manifest["drop_stage"] == "balance").any()


def test_classes_that_stay_short_are_named(sample_copy: Path) -> None:
    result, manifest, classes = balance(sample_copy, low_count="keep", floor=1.0, max_repeats=2)
    goal = int(classes["size_clean"].max())
    assert (classes["sum_repeats"] == np.minimum(goal, 2 * classes["size_clean"])).all()
    short = sorted(classes.index[classes["sum_repeats"] < goal])
    assert result.record.counts["classes_short"] == short and "lighthouse" in short
    assert any("fewer than" in warning and str(goal) in warning for warning in result.warnings)
    assert manifest["repeats"].max() == 2
    priors = json.loads((sample_copy / "balance" / "class_priors.json").read_text())
    assert priors["counts_sampled"] == classes["sum_repeats"].tolist() and priors["tau"] == 1.0
    assert np.allclose(np.exp(priors["log_prior"]), priors["priors_sampled"])


def test_repeats_depend_on_the_seed_alone(sample_copy: Path) -> None:
    _, one, _ = balance(sample_copy, low_count="keep", floor=0.9)
    run_balance(
        Workspace(sample_copy), BalanceSettings(embedding=SMALL, low_count="keep", floor=0.9), RunOptions(seed=1)
    )
    other = pd.read_parquet(sample_copy / "balance" / "manifest.parquet").set_index("file_name")
    assert not one["repeats"].equals(other["repeats"])
    assert one.groupby("clean_label")["repeats"].sum().equals(other.groupby("clean_label")["repeats"].sum())
    _, again, _ = balance(sample_copy, low_count="keep", floor=0.9)
    pd.testing.assert_frame_equal(one, again)


def test_balance_up_to_date_does_nothing(sample_copy: Path) -> None:
    before = (sample_copy / "balance" / "stage.json").read_bytes()
    result, _, _ = balance(sample_copy)
    assert result.was_current and (sample_copy / "balance" / "stage.json").read_bytes() == before
    assert not balance(sample_copy, tau=0.5)[0].was_current
    # a lost or altered file is noticed
    (sample_copy / "balance" / "class_priors.json").write_text("{}")
    assert not balance(sample_copy, tau=0.5)[0].was_current
