"""Small classes, upsampling and priors: the rules on arrays, and the stage on real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cleaner.config import BalanceSettings, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.scoring.class_quality import (
    compute_coherence,
    compute_coherence_p,
    compute_rank_p,
    draw_coherences,
    judge_low_count,
)
from cleaner.scoring.imbalance import compute_priors, compute_repeats, compute_target
from cleaner.stages.balance import run_balance
from cleaner.stages.stage_run import StageResult

# --- repeats and priors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [*range(100), 3_000_000, 3_000_001])
def test_the_target_is_a_third_rounded_up(largest: int) -> None:
    assert compute_target(largest, 1 / 3) == -(-largest // 3)
    assert compute_target(largest, 1.0) == largest and compute_target(largest, 0.0) == 0


def test_repeats_reach_the_target_and_differ_by_one_at_most() -> None:
    sizes = [100, 40, 33, 10, 7, 1]
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(6), sizes))
    repeats = compute_repeats(targets, 7, 1 / 3, 20, np.random.default_rng(1))
    sums = np.bincount(targets, weights=repeats, minlength=7)
    assert sums.tolist() == [100, 40, 34, 34, 34, 20, 0]  # ceil(100 / 3) = 34; one image cannot stand for more than 20
    for k in range(6):
        assert np.ptp(repeats[targets == k]) <= 1
    assert repeats.min() == 1 and repeats.max() == 20 and repeats.dtype == np.int32
    assert np.array_equal(repeats, compute_repeats(targets, 7, 1 / 3, 20, np.random.default_rng(1)))
    assert not np.array_equal(repeats, compute_repeats(targets, 7, 1 / 3, 20, np.random.default_rng(2)))


def test_priors_are_shares() -> None:
    assert compute_priors(np.array([1, 3, 4])).tolist() == [0.125, 0.375, 0.5]


# --- coherence --------------------------------------------------------------------------------------------------------


def units(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_coherence_is_the_mean_cosine_over_pairs() -> None:
    x = units(np.random.default_rng(0).normal(size=(12, 8)))
    pairs = (x @ x.T)[np.triu_indices(12, 1)]
    assert compute_coherence(x) == pytest.approx(pairs.mean())
    assert np.isnan(compute_coherence(x[:1]))


def test_p_is_uniform_for_random_draws_and_small_for_a_class() -> None:
    rng = np.random.default_rng(0)
    pool = units(np.repeat(rng.normal(size=(20, 16)), 50, 0) + rng.normal(size=(1000, 16)))
    null = draw_coherences(pool, 15, rng)
    under_null = [compute_coherence_p(pool[rng.choice(1000, 15, replace=False)], null) for _ in range(400)]
    for share in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(np.array(under_null) <= share) == pytest.approx(share, abs=0.08)
    assert compute_coherence_p(pool[:15], null) == 0.001  # of one class: beyond all 999 draws
    assert np.isnan(compute_coherence_p(pool[:2], null))


def test_the_rank_test_tells_badly_recognised_classes() -> None:
    rng = np.random.default_rng(0)
    pool = rng.random(1000) < 0.9
    assert compute_rank_p(np.arange(20) < 8, pool, rng) <= 0.01
    assert compute_rank_p(np.ones(20, bool), pool, rng) > 0.5
    assert np.isnan(compute_rank_p(np.zeros(0, bool), pool, rng))


def test_the_judgement_of_small_classes() -> None:
    nan = float("nan")
    assert judge_low_count(0.001, 0.9, 0.4) == judge_low_count(0.001, 0.001, 0.4) == "keep"
    assert judge_low_count(0.4, 0.001, 0.4) == judge_low_count(0.4, nan, nan) == "drop"
    assert judge_low_count(0.4, 0.6, 0.4) == judge_low_count(0.03, 0.001, 0.4) == "review"
    assert judge_low_count(nan, 0.001, 0.4) == "review"
    # a sound class that wrong labels were strewn into
    assert judge_low_count(0.4, 0.001, 0.001) == "review"


# --- the stage --------------------------------------------------------------------------------------------------------


def balance(workspace: Path, **settings: Any) -> tuple[StageResult, pd.DataFrame, pd.DataFrame]:
    """The result, the manifest (index file_name) and classes.parquet (index label)."""
    result = run_balance(Workspace(workspace), BalanceSettings(**settings), RunOptions())
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
    assert any("stay under" in warning and str(goal) in warning for warning in result.warnings)
    assert manifest["repeats"].max() == 2
    priors = json.loads((sample_copy / "balance" / "class_priors.json").read_text())
    assert priors["counts_sampled"] == classes["sum_repeats"].tolist() and priors["tau"] == 1.0
    assert np.allclose(np.exp(priors["log_prior"]), priors["priors_sampled"])


def test_repeats_depend_on_the_seed_alone(sample_copy: Path) -> None:
    _, one, _ = balance(sample_copy, low_count="keep", floor=0.9)
    run_balance(Workspace(sample_copy), BalanceSettings(low_count="keep", floor=0.9), RunOptions(seed=1))
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
