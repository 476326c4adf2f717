"""What the answers of an audit say, and when they are stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleaner.dataset.audits import find_open_sample, load_open_sample
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import SETTLE
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.scoring.audit import plan_looks, upper_bound, watch_answers
from tests.support.audited import answer, draw, image_id, make_rows, results, sampled, write_stage


def test_planted_faults_are_counted_in_their_stratum(workspace: Workspace) -> None:
    draw(workspace)
    kept, noise = sampled(workspace, "kept"), sampled(workspace, "noise_image")
    coarse, jumbled = sampled(workspace, "label_issue_coarse"), sampled(workspace, "jumbled_class")
    bad = dict.fromkeys(kept[:3], ("noise", "")) | dict.fromkeys(kept[3:8], ("label", "another"))
    bad |= {kept[8]: ("drop", ""), kept[9]: ("unsure", ""), kept[10]: ("normal", "")}
    bad |= dict.fromkeys(noise[:44], ("noise", "")) | {noise[44]: ("label", "another")}  # six are good images
    bad |= dict.fromkeys(coarse[:40], ("label", "another")) | {coarse[40]: ("drop", "")}  # nine were right
    bad |= dict.fromkeys(jumbled, ("drop", ""))
    answer(workspace, bad)
    result = results(workspace)
    outcomes = {s.name: s.outcomes for s in result.strata}
    assert outcomes["kept"] == {"noise": 3, "wrong_label": 5, "unusable": 1, "normal": 1, "right": 289}
    assert outcomes["noise_image"] == {"right": 44, "wrongly_dropped": 6}
    assert outcomes["label_issue_coarse"] == {"right": 41, "wrongly_dropped": 9}
    assert outcomes["jumbled_class"] == {"right": 20}
    assert result.is_complete and sum(s.num_unsure for s in result.strata) == 1
    assert result.kept["noise"].share == pytest.approx(3 / 299)
    assert result.kept["wrong_label"].share == pytest.approx(5 / 298)  # "not noise" leaves the label open
    assert result.kept["noise"].upper > upper_bound(4, 300)  # the unsure one counts as bad, and at every look
    assert result.dropped["jumbled_class"].high == 0  # all twenty were looked at
    total = (6 / 50 * 120 + 9 / 50 * 70) / 210
    assert result.dropped["all"].share == pytest.approx(total)
    assert result.dropped["all"].low < total < result.dropped["all"].high


def test_more_looks_are_those_that_the_goal_needs(workspace: Workspace) -> None:
    draw(workspace, num_kept=100)
    answer(workspace)
    more = results(workspace).num_more_looks
    assert more == plan_looks(900, 0.01) - 100
    assert results(workspace, goal=0.05).num_more_looks == 0
    draw(workspace, num_kept=100 + more)
    assert not results(workspace).passes
    answer(workspace)
    assert results(workspace).passes and results(workspace).num_more_looks == 0
    answer(workspace, dict.fromkeys(sampled(workspace, "kept")[:20], ("noise", "")))
    assert results(workspace).num_more_looks is None  # 20 of 900 are more than 1 % already


def test_without_a_number_as_many_are_drawn_as_show_the_goal(workspace: Workspace) -> None:
    draw(workspace, num_kept=None)
    assert results(workspace).strata[0].num_sampled == plan_looks(900, 0.01)
    answer(workspace)
    assert results(workspace).passes
    before = len(load_open_sample(workspace))
    draw(workspace, num_kept=None)
    assert len(load_open_sample(workspace)) == before


def test_an_unsure_look_is_bad_for_the_gate(workspace: Workspace) -> None:
    draw(workspace, num_kept=500)
    answer(workspace)
    clean = results(workspace)
    answer(workspace, dict.fromkeys(sampled(workspace, "kept")[:8], ("unsure", "")))
    unsure = results(workspace)
    assert clean.passes and not unsure.passes
    assert unsure.kept["noise"].share == 0 < unsure.kept["noise"].low + unsure.kept["noise"].upper
    assert unsure.kept["noise"].upper > 8 / 900
    answer(workspace, dict.fromkeys(sampled(workspace, "kept")[:8], ("noise", "")))
    assert results(workspace).kept["noise"].upper == unsure.kept["noise"].upper


def test_only_the_audit_queue_answers_and_taking_back_reopens(workspace: Workspace) -> None:
    draw(workspace, num_kept=5, num_dropped=0)
    store = DecisionStore(workspace.decisions_path)
    ids, labels = (load_open_sample(workspace)[c].tolist() for c in ("image_id", "label"))
    store.add("image", ids[0], "noise", queue="noise_found")
    assert results(workspace).num_looks == 0
    seq = store.add("image", ids[1], "noise", queue="audit")
    assert results(workspace).strata[0].outcomes == {"noise": 1}
    store.undo(seq)
    assert results(workspace).num_looks == 0
    store.add("image", ids[2], "label", label=labels[2], queue="audit", annotator="a")
    store.add("image", ids[2], "noise", queue="audit", annotator="b")
    stratum = results(workspace).strata[0]
    assert (stratum.num_undecided, stratum.num_open) == (1, 5)
    store.add("image", ids[2], "noise", queue=SETTLE, annotator="c")
    assert results(workspace).strata[0].outcomes == {"noise": 1}


def test_one_image_under_two_labels_is_answered_by_one_verdict(tmp_path: Path) -> None:
    rows = make_rows({"": 20, "label_conflict": 20})
    rows["image_id"] = [image_id(f"pair{i % 20}") for i in range(40)]
    place = Workspace(tmp_path / "work")
    write_stage(place, rows)
    draw(place)
    store = DecisionStore(place.decisions_path)
    for key, label in rows.loc[rows["keep"], ["image_id", "clean_label"]].itertuples(index=False):
        store.add("image", key, "label", label=label, queue="audit")
    result = results(place)
    assert result.is_complete
    assert {s.name: s.outcomes for s in result.strata} == {"kept": {"right": 20}, "label_conflict": {"right": 20}}


def test_a_rerun_makes_an_audit_stale_and_what_was_judged_a_stratum_of_its_own(workspace: Workspace) -> None:
    draw(workspace)
    bad = sampled(workspace, "kept")[:4]
    answer(workspace, dict.fromkeys(bad, ("noise", "")))
    judged = set(load_open_sample(workspace)["file_name"])
    rows = make_rows()
    out = rows["file_name"].isin(bad[:3])  # one of the four stays although people said noise
    rows.loc[out, ["keep", "drop_stage", "drop_reason"]] = [False, "scan", "person"]
    write_stage(workspace, rows)
    with pytest.raises(StaleStageError, match="stale"):
        find_open_sample(workspace)
    draw(workspace)
    assert not judged & set(load_open_sample(workspace)["file_name"])
    result = results(workspace)
    kept = result.strata[0]
    assert (kept.size, kept.judged) == (600, {"right": 296, "noise": 1})
    assert kept.num_counted == 0  # the old answers say nothing about the new sample
    answer(workspace)
    noise = results(workspace).kept["noise"]
    assert noise.share == pytest.approx(1 / 897)
    assert noise.upper == watch_answers(297, 1, 600, [False] * 300).upper / 897


def test_without_an_audit_the_next_command_is_named(workspace: Workspace) -> None:
    assert find_open_sample(workspace) is None
    with pytest.raises(BadInputError, match="cleaner audit"):
        load_open_sample(workspace)
    draw(workspace)
    (next((workspace.root / "audit").glob("*/sample.json"))).write_text("{}")
    with pytest.raises(BadInputError, match="damaged"):
        find_open_sample(workspace)
