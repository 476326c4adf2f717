"""The contract of the files that the stages write, on sample_data: shared/design.md."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cleaner import __version__
from cleaner.dataset.files import list_files
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.store import digest_of, sha256_file
from tests.support.places import SAMPLE

# the contract of shared/design.md: names and types never change
COMMON = {"keep": "bool", "drop_stage": "string", "drop_reason": "string", "clean_label": "string"}
COLUMNS = {
    "scan": {
        "image_id": "string",
        "file_name": "string",
        "label": "string",
        "split": "string",
        "width": "int32",
        "height": "int32",
        "mode": "string",
        "format": "string",
        "file_bytes": "int64",
        "readable": "bool",
        "fault": "string",
        "duplicate_group": "int64",
        "duplicate_kind": "string",
        "label_conflict": "bool",
    },
    "noise": {"noise_prob": "float", "is_noise": "bool", "noise_evidence": "string", "noise_round": "int16"},
    "labels": {
        "fold": "int8",
        "given_rank": "int32",
        "self_confidence": "float",
        "predicted_label": "string",
        "predicted_confidence": "float",
        "label_issue": "string",
        "pulled_back_round": "int16",
        "label_evidence": "string",
    },
    "balance": {"class_size": "int32", "class_action": "string", "repeats": "int32"},
}
FAULTS = {
    "",
    "empty",
    "truncated",
    "not_an_image",
    "unsupported_format",
    "too_large",
    "decode_error",
    "unreadable",
    "outside_root",
    "missing",
    "bad_name",
}
REASONS = {
    "scan": {"unreadable", "exact_duplicate"},
    "noise": {"noise_image"},
    "labels": {"label_issue_coarse", "label_issue_fine", "label_conflict"},
    "balance": {"low_count_class", "jumbled_class"},
}
RECORD_FIELDS = {
    "schema_version",
    "stage",
    "cleaner_version",
    "created_utc",
    "settings",
    "seed",
    "images_root",
    "inputs",
    "outputs",
    "counts",
    "backbone",
    "device",
    "threads",
    "seconds",
}


@pytest.mark.parametrize("stage", STAGES)
def test_columns_types_and_nulls(sample_run: Path, stage: str) -> None:
    table = pq.read_table(sample_run / stage / "manifest.parquet")
    done = STAGES[: STAGES.index(stage) + 1]
    wanted = COMMON | {name: kind for s in done for name, kind in COLUMNS[s].items()}
    found = {field.name: str(field.type) for field in table.schema}
    assert {name: found.get(name) for name in wanted} == wanted
    assert not set(found) & {name for s in STAGES if s not in done for name in COLUMNS[s]}
    assert {name: table.column(name).null_count for name in table.column_names if table.column(name).null_count} == {}
    names = table.column("file_name").to_pylist()
    assert names == sorted(names) and len(set(names)) == len(names) == 1522


@pytest.mark.parametrize("stage", STAGES)
def test_metadata_and_record(sample_run: Path, stage: str) -> None:
    file = pq.ParquetFile(sample_run / stage / "manifest.parquet")
    metadata = {k.decode(): v.decode() for k, v in file.schema_arrow.metadata.items() if k.startswith(b"cleaner.")}
    parent = "" if stage == "scan" else sha256_file(sample_run / STAGES[STAGES.index(stage) - 1] / "manifest.parquet")
    assert metadata == {"cleaner.stage": stage, "cleaner.schema_version": "1", "cleaner.parent_sha256": parent}
    groups = range(file.metadata.num_row_groups)
    assert {file.metadata.row_group(g).column(c).compression for g in groups for c in range(5)} == {"ZSTD"}
    record = json.loads((sample_run / stage / "stage.json").read_text(encoding="utf-8"))
    assert set(record) >= RECORD_FIELDS and record["stage"] == stage and record["schema_version"] == 1
    assert record["cleaner_version"] == __version__ and record["created_utc"].endswith("+00:00")
    inputs = {i["role"]: i for i in record["inputs"]}
    assert all(set(i) == {"role", "file", "sha256"} and len(i["sha256"]) == 64 for i in record["inputs"])
    assert (
        set(inputs)
        == {
            "scan": {"images"},
            "noise": {"parent", "seeds", "decisions"},
            "labels": {"parent", "decisions"},
            "balance": {"parent", "decisions"},
        }[stage]
    )
    if stage != "scan":
        assert inputs["parent"]["sha256"] == parent
        assert record["backbone"].keys() >= {"name", "weights_sha256", "image_size"}
    for name, digest in record["outputs"].items():
        assert sha256_file(sample_run / stage / name) == digest
    extra = {
        "noise": {"rounds.parquet"},
        "labels": {"rounds.parquet"},
        "balance": {"classes.parquet", "class_priors.json"},
    }
    assert record["outputs"].keys() >= {"manifest.parquet"} | extra.get(stage, set())
    manifest = pd.read_parquet(sample_run / stage / "manifest.parquet")
    mine = manifest.loc[manifest["drop_stage"] == stage, "drop_reason"].value_counts().to_dict()
    counts = record["counts"]
    assert (counts["rows"], counts["kept"], counts["dropped"]) == (len(manifest), int(manifest["keep"].sum()), mine)


def test_a_stage_drops_only_what_its_parent_kept_and_changes_nothing_else(manifests: dict[str, pd.DataFrame]) -> None:
    for before, after in itertools.pairwise(STAGES):
        old, new = manifests[before], manifests[after]
        assert old.index.equals(new.index)
        assert not (new["keep"] & ~old["keep"]).any()
        lost = old["keep"] & ~new["keep"]
        assert lost.any() and (new.loc[lost, "drop_stage"] == after).all()
        same = ["keep", "drop_stage", "drop_reason"]
        pd.testing.assert_frame_equal(old.loc[~lost, same], new.loc[~lost, same])
        rest = [c for c in old.columns if c not in same]  # nobody relabelled anything, so clean_label stays too
        pd.testing.assert_frame_equal(old[rest], new[rest])


def test_values_are_those_of_the_contract(manifests: dict[str, pd.DataFrame]) -> None:
    full = manifests["balance"]
    assert (full["keep"] == (full["drop_stage"] == "")).all() and (full["keep"] == (full["drop_reason"] == "")).all()
    for stage, reasons in REASONS.items():
        assert set(full.loc[full["drop_stage"] == stage, "drop_reason"]) <= reasons
    assert (full["clean_label"] == full["label"]).all() and (full["split"] == "train").all()
    assert (full["label"] == full.index.str.split("/").str[0]).all()
    assert set(full["fault"]) <= FAULTS and set(full["duplicate_kind"]) == {"", "exact", "near"}
    assert ((full["duplicate_group"] == -1) == (full["duplicate_kind"] == "")).all()
    assert (full.loc[full["duplicate_group"] >= 0, "duplicate_group"].value_counts() > 1).all()
    assert set(full["noise_evidence"]) == {"", "seed", "model"}
    judged = full["drop_stage"] != "scan"
    assert full.loc[judged, "noise_prob"].between(0, 1).all()
    model = judged & (full["noise_evidence"] == "model")
    assert (full.loc[model, "is_noise"] == (full.loc[model, "noise_prob"] > 0.9)).all()
    assert ((full["noise_round"] == 0) == (full["noise_evidence"] == "seed")).all()
    assert (full.loc[full["is_noise"] & model, "noise_round"] >= 1).all()
    in_labels = judged & (full["drop_stage"] != "noise")
    assert ((full["fold"] >= 0) == in_labels).all() and set(full.loc[in_labels, "fold"]) == set(range(5))
    assert set(full.loc[~in_labels, "given_rank"]) == {-1} and full.loc[~in_labels, "self_confidence"].isna().all()
    scored = in_labels & (full["given_rank"] >= 0)
    assert scored.sum() >= 0.99 * in_labels.sum()
    assert full.loc[scored, "self_confidence"].between(0, 1).all()
    assert (full["self_confidence"] <= full["predicted_confidence"] + 1e-6)[scored].all()
    top = full["given_rank"] == 0
    assert (full["predicted_label"] == full["label"])[scored].eq(top[scored]).all()
    assert set(full["label_issue"]) == {"", "coarse", "fine"}
    assert ((full["label_issue"] != "") == (full["pulled_back_round"] == -1))[scored].all()
    assert (full.loc[~in_labels, "pulled_back_round"] == -1).all()
    assert set(full.loc[in_labels, "label_evidence"]) == {"model"} and set(full.loc[~in_labels, "label_evidence"]) == {
        ""
    }
    assert set(full["class_action"]) <= {"keep", "drop", "review", ""}
    assert ((full["repeats"] > 0) == full["keep"]).all()
    sizes = full.loc[full["keep"], "clean_label"].value_counts()
    assert (full["class_size"] == full["clean_label"].map(sizes).fillna(0)).all()


def test_copies_that_scan_drops_are_the_later_ones_and_carry_the_noise_columns_of_the_first(
    manifests: dict[str, pd.DataFrame],
) -> None:
    full = manifests["noise"]
    gone = full[full["drop_reason"] == "exact_duplicate"]
    assert len(gone) >= 28
    names = ["noise_prob", "is_noise", "noise_evidence", "noise_round"]
    for name, row in gone.iterrows():
        twins = full[(full["duplicate_group"] == row["duplicate_group"]) & (full["label"] == row["label"])]
        stayed = twins[(twins["drop_stage"] != "scan") & (twins["duplicate_kind"] == "exact")]
        assert len(stayed) == 1 and stayed.index[0] < name
        assert stayed[names].iloc[0].tolist() == row[names].tolist()


def test_duplicate_groups_share_a_fold(manifests: dict[str, pd.DataFrame]) -> None:
    grouped = manifests["labels"].query("fold >= 0 and duplicate_group >= 0")
    folds = grouped.groupby("duplicate_group")["fold"]
    assert folds.ngroups > 40 and (folds.min() == folds.max()).all()


def test_rounds_tell_the_story_of_the_manifests(sample_run: Path, manifests: dict[str, pd.DataFrame]) -> None:
    full = manifests["labels"]
    noise = pd.read_parquet(sample_run / "noise" / "rounds.parquet")
    assert list(noise.columns)[:3] == ["round", "file_name", "noise_prob"]
    last = noise[noise["round"] == noise["round"].max()].set_index("file_name")["noise_prob"]
    judged = full[full["drop_stage"] != "scan"]
    assert set(judged.index[judged["noise_prob"] > 0.5]) <= set(last.index)
    assert (full.loc[last.index, "noise_prob"] == last).all()
    rounds = pd.read_parquet(sample_run / "labels" / "rounds.parquet")
    assert set(rounds.columns) >= {
        "pass",
        "round",
        "recipe",
        "file_name",
        "given_rank",
        "self_confidence",
        "predicted_label",
        "positive",
    }
    assert list(dict.fromkeys(rounds["pass"])) == ["coarse", "fine"]
    for _, one in rounds.groupby("pass"):
        recipes = one.drop_duplicates("round").sort_values("round")["recipe"].tolist()
        assert all(a != b for a, b in itertools.pairwise(recipes))
        positive: set[str] = set()
        for number, this in one.groupby("round"):
            assert not positive & set(this["file_name"]), f"round {number} judged a positive again"
            positive |= set(this.loc[this["positive"], "file_name"])
    # the row's columns come from round 0 of the last pass that judged it
    zero = rounds[rounds["round"] == 0].drop_duplicates("file_name", keep="last").set_index("file_name")
    mine = full.loc[zero.index]
    for name in ("given_rank", "predicted_label"):
        assert (mine[name] == zero[name]).all()


def test_classes_and_priors(sample_run: Path, manifests: dict[str, pd.DataFrame]) -> None:
    full = manifests["balance"]
    classes = pd.read_parquet(sample_run / "balance" / "classes.parquet")
    assert list(classes.columns)[:8] == [
        "label",
        "size_raw",
        "size_clean",
        "oof_accuracy",
        "share_kept",
        "coherence_p",
        "action",
        "sum_repeats",
    ]
    by_label = classes.set_index("label")
    assert by_label["size_raw"].to_dict() == full["label"].value_counts().to_dict()
    assert by_label["sum_repeats"].to_dict() == full.groupby("clean_label")["repeats"].sum().to_dict()
    left = by_label[by_label["sum_repeats"] > 0]
    goal = math.ceil(left["size_clean"].max() / 3)
    assert (left["sum_repeats"] == np.maximum(left["size_clean"], goal)).all()
    priors = json.loads((sample_run / "balance" / "class_priors.json").read_text(encoding="utf-8"))
    assert set(priors) >= {
        "classes",
        "counts_raw",
        "counts_clean",
        "counts_sampled",
        "priors_sampled",
        "log_prior",
        "tau",
    }
    assert priors["classes"] == sorted(left.index) and priors["counts_sampled"] == left["sum_repeats"].tolist()
    assert priors["counts_raw"] == left["size_raw"].tolist() and priors["counts_clean"] == left["size_clean"].tolist()
    assert math.isclose(sum(priors["priors_sampled"]), 1.0)
    assert np.allclose(np.exp(priors["log_prior"]), left["sum_repeats"] / left["sum_repeats"].sum())


def test_the_source_images_are_untouched(sample_run: Path) -> None:
    record = json.loads((sample_run / "scan" / "stage.json").read_text(encoding="utf-8"))
    (images,) = record["inputs"]
    found = list_files(SAMPLE / "images", False)
    assert digest_of([[f.name, f.size, f.mtime_ns] for f in found]) == images["sha256"]
