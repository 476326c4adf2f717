"""What an audit draws."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleaner.dataset.audits import find_open_sample, load_open_sample
from cleaner.dataset.workspace import Workspace
from tests.support.audited import answer, draw, make_rows, results, sampled, write_stage


def test_the_sample_holds_each_stratum_shuffled_and_without_a_name(workspace: Workspace) -> None:
    draw(workspace)
    sample = find_open_sample(workspace)
    assert sample is not None
    sizes = sample.rows["stratum"].value_counts().to_dict()
    assert sizes == {"kept": 300, "noise_image": 50, "label_issue_coarse": 50, "jumbled_class": 20}
    shown = load_open_sample(workspace)
    assert list(shown.columns) == ["image_id", "file_name", "label"]
    assert shown["file_name"].is_unique
    # shuffled: the strata alternate about as often as chance has them
    stratum = sample.rows["stratum"].to_numpy()
    assert (stratum[1:] != stratum[:-1]).mean() > 0.3
    assert shown["file_name"].tolist() != sorted(shown["file_name"])


def test_the_draw_depends_on_the_seed_alone(workspace: Workspace, tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        other = Workspace(tmp_path / name)
        write_stage(other, make_rows())
        draw(other, seed=seed)
        drawn.append(load_open_sample(other)["file_name"].tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_rows_of_splits_that_were_not_cleaned_are_left_out(tmp_path: Path) -> None:
    rows = make_rows()
    rows.loc[rows.index % 2 == 0, "split"] = "val"
    place = Workspace(tmp_path / "work")
    write_stage(place, rows)
    draw(place, num_kept=10_000)
    held = set(rows.loc[rows["split"] == "val", "file_name"])
    assert not held & set(load_open_sample(place)["file_name"])
    assert results(place).record.sizes["kept"] == 450


def test_a_larger_sample_keeps_what_there_is_and_a_smaller_one_changes_nothing(workspace: Workspace) -> None:
    draw(workspace, num_kept=100)
    before = load_open_sample(workspace)
    draw(workspace, num_kept=50)
    pd.testing.assert_frame_equal(load_open_sample(workspace), before)
    answer(workspace)
    draw(workspace, num_kept=400)
    after = load_open_sample(workspace)
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    assert after["file_name"].is_unique
    result = results(workspace)
    assert (len(sampled(workspace, "kept")), result.num_looks) == (400, len(before))
    assert [d["sample"] for d in result.record.draws] == [100, 400]
