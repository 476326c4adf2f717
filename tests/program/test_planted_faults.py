"""What the whole pipeline finds on sample_data, against what was planted there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.names import to_file_name
from tests.support.places import SAMPLE


@pytest.fixture(scope="module")
def both(manifests: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The last manifest with the truth beside it, its columns with `true_` before their names."""
    manifest = manifests["balance"]
    truth = (
        pd.read_csv(SAMPLE / "truth.csv", dtype=str, keep_default_na=False).set_index("file_name").add_prefix("true_")
    )
    truth.index = truth.index.map(to_file_name)
    assert set(truth.index) == set(manifest.index)
    return manifest.join(truth)


def recall_precision(planted: pd.Series, found: pd.Series) -> tuple[float, float]:
    right = int((planted & found).sum())
    return right / int(planted.sum()), right / max(1, int(found.sum()))


def test_noise_images_are_found(both: pd.DataFrame) -> None:
    seen = both[both["readable"]]
    recall, precision = recall_precision(seen["true_is_noise_image"] == "true", seen["is_noise"])
    assert recall >= 0.95 and precision >= 0.95


def test_noise_images_of_kinds_that_no_seed_shows_are_found(both: pd.DataFrame) -> None:
    unseen = both[both["true_noise_kind"].isin(["screenshot", "table"])]
    assert (unseen["noise_evidence"] == "model").all() and unseen["is_noise"].mean() >= 0.9


def test_good_images_in_odd_modes_and_of_poor_quality_are_no_noise(both: pd.DataFrame) -> None:
    good = both[(both["true_is_noise_image"] == "false") & ((both["true_variant"] + both["true_quality"]) != "")]
    good = good[good["readable"]]
    assert len(good) >= 80 and good["is_noise"].mean() <= 0.05


def test_wrong_labels_are_found(both: pd.DataFrame) -> None:
    seen = both[(both["drop_stage"] != "scan") & (both["true_is_noise_image"] != "true")]
    recall, precision = recall_precision(seen["true_label_error"] != "", seen["label_issue"] != "")
    assert recall >= 0.9 and precision >= 0.6


def test_the_right_label_is_what_is_predicted_for_wrong_ones(both: pd.DataFrame) -> None:
    wrong = both[(both["true_label_error"] != "") & (both["label_issue"] != "")]
    assert (wrong["predicted_label"] == wrong["true_clean_label"]).mean() >= 0.8


def test_every_file_fault_is_named(both: pd.DataFrame) -> None:
    assert both["true_fault"].value_counts().drop("").to_dict() == {
        "truncated": 3,
        "unsupported_format": 3,
        "empty": 2,
        "not_an_image": 2,
        "too_large": 2,
        "decode_error": 2,
        "outside_root": 2,
        "missing": 2,
        "unreadable": 2,
        "bad_name": 2,
    }
    assert both["fault"].tolist() == both["true_fault"].tolist()
    bad = both["fault"] != ""
    assert (both["drop_reason"] == "unreadable").tolist() == bad.tolist() == (~both["readable"]).tolist()


def test_all_exact_duplicates_and_most_near_ones_are_found(both: pd.DataFrame) -> None:
    group = both["duplicate_group"]
    group_of_original = both["true_duplicate_of"].map(group).fillna(-2).astype("int64")
    for kind, at_least in (("exact", 1.0), ("near", 0.9)):
        planted = both["true_duplicate_kind"] == kind
        right = planted & (both["duplicate_kind"] == kind) & (group == group_of_original) & (group >= 0)
        assert planted.sum() == 40 and right.sum() >= at_least * 40
    # precision: every member of a group but its first counts as one copy found
    extra = group[group >= 0].duplicated().sum()
    assert extra <= 80 / 0.9


def test_every_conflict_is_named_and_one_copy_of_each_stays(both: pd.DataFrame) -> None:
    planted = both["true_conflict"] == "true"
    assert planted.sum() == 24 and both["label_conflict"].tolist() == planted.tolist()
    contested = both[planted]
    assert (contested["drop_stage"] != "scan").all()
    by_copy = contested.groupby("image_id")
    assert (by_copy["fold"].min() == by_copy["fold"].max()).all()
    assert (by_copy["keep"].sum() <= 1).all()
    kept = contested[contested["keep"]]
    assert (kept["label"] == kept["true_clean_label"]).mean() >= 0.8 and len(kept) >= 0.8 * by_copy.ngroups


def test_the_coherent_small_class_stays_and_the_jumbled_one_is_named(sample_run: Path, both: pd.DataFrame) -> None:
    classes = pd.read_parquet(sample_run / "balance" / "classes.parquet").set_index("label")
    assert classes.loc["lighthouse", "action"] == "keep" and classes.loc["misc", "action"] in ("drop", "review")
    assert classes.loc["lighthouse", "coherence_p"] < 0.01 < classes.loc["misc", "coherence_p"]
    assert both.loc[both["label"] == "lighthouse", "keep"].mean() > 0.8
    if classes.loc["misc", "action"] == "drop":
        gone = both[(both["label"] == "misc") & (both["drop_stage"] == "balance")]
        assert set(gone["drop_reason"]) == {"jumbled_class"} and not both.loc[both["label"] == "misc", "keep"].any()
