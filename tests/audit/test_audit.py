"""The audit against planted truth: what is drawn, what answers count, when it is stale, and the gate."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleaner.audit.draw import open_audit
from cleaner.audit.results import AuditResult, compute_results
from cleaner.dataset.audits import find_open_sample, load_open_sample
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import SETTLE, Event
from cleaner.dataset.manifest import write_manifest
from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.scoring.audit import upper_bound
from tests.support.program import Program

SIZES = {
    "": 900,
    "noise_image": 120,
    "label_issue_coarse": 70,
    "jumbled_class": 20,
    "exact_duplicate": 30,
    "unreadable": 10,
}
"""Rows by drop reason; '' are the kept ones."""


def image_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_rows(sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    names = [f"{reason or 'kept'}_{i:04d}.jpg" for reason, num in sizes.items() for i in range(num)]
    reasons = [reason for reason, num in sizes.items() for _ in range(num)]
    frame = pd.DataFrame({"file_name": names, "image_id": [image_id(n) for n in names], "drop_reason": reasons})
    frame["keep"] = frame["drop_reason"] == ""
    frame["drop_stage"] = np.where(frame["keep"], "", "scan").astype(object)
    frame["clean_label"] = frame["label"] = [f"class{i % 7}" for i in range(len(frame))]
    frame["split"] = "train"
    return frame


def write_stage(workspace: Workspace, rows: pd.DataFrame) -> None:
    """One complete stage; which one it is does not matter here."""
    folder = workspace.begin("scan")
    write_manifest(folder / "manifest.parquet", rows, stage="scan", parent_sha256="")
    record = StageRecord(
        stage="scan",
        settings={},
        seed=0,
        images_root="images",
        inputs=[],
        outputs={},
        counts={},
        backbone={},
        device="cpu",
        threads=1,
        seconds=0.0,
    )
    workspace.write_record(record, ["manifest.parquet"])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "work")
    write_stage(place, make_rows())
    return place


def draw(workspace: Workspace, num_kept: int = 300, num_dropped: int = 50, seed: int = 0) -> None:
    open_audit(workspace, None, num_kept=num_kept, num_dropped=num_dropped, seed=seed)


def results(workspace: Workspace, goal: float = 0.01) -> AuditResult:
    sample = find_open_sample(workspace)
    assert sample is not None
    return compute_results(workspace, sample, goal)


def answer(workspace: Workspace, bad: dict[str, tuple[str, str]] | None = None, *, annotator: str = "ann") -> None:
    """Say of every sampled image that its label is right, but of those in `bad` (file_name) something else."""
    events = []
    for key, name, label in load_open_sample(workspace).itertuples(index=False):
        verdict, chosen = (bad or {}).get(name, ("label", label))
        events.append(Event(kind="image", key=key, verdict=verdict, label=chosen, queue="audit", annotator=annotator))
    DecisionStore(workspace.decisions_path).merge(events)


def sampled(workspace: Workspace, stratum: str) -> list[str]:
    sample = find_open_sample(workspace)
    assert sample is not None
    return sample.rows.loc[sample.rows["stratum"] == stratum, "file_name"].tolist()


# --- drawing ----------------------------------------------------------------------------------------------------------


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


# --- results ----------------------------------------------------------------------------------------------------------


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
    assert result.kept["noise"].upper == upper_bound(3, 299)
    assert result.dropped["jumbled_class"].high == 0  # all twenty were looked at
    total = (6 / 50 * 120 + 9 / 50 * 70) / 210
    assert result.dropped["all"].share == pytest.approx(total)
    assert result.dropped["all"].low < total < result.dropped["all"].high


def test_more_looks_are_those_that_the_goal_needs(workspace: Workspace) -> None:
    draw(workspace, num_kept=100)
    answer(workspace)
    assert results(workspace).num_more_looks == 199  # 0 of 299
    assert results(workspace, goal=0.05).num_more_looks == 0
    answer(workspace, dict.fromkeys(sampled(workspace, "kept")[:20], ("noise", "")))
    assert results(workspace).num_more_looks is None  # 20 of 900 are more than 1 % already


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


# --- staleness --------------------------------------------------------------------------------------------------------


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
    assert noise.upper == pytest.approx((600 * upper_bound(0, 300) + 1) / 897)


def test_without_an_audit_the_next_command_is_named(workspace: Workspace) -> None:
    assert find_open_sample(workspace) is None
    with pytest.raises(BadInputError, match="cleaner audit"):
        load_open_sample(workspace)
    draw(workspace)
    (next((workspace.root / "audit").glob("*/sample.json"))).write_text("{}")
    with pytest.raises(BadInputError, match="damaged"):
        find_open_sample(workspace)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_gate_passes_at_one_percent_after_300_clean_looks(workspace: Workspace, program: Program) -> None:
    gate = ["audit", "-C", workspace.root, "--fail-over"]
    undone = program(*gate, "0.01")
    assert undone.exit_code == 4 and "not all images" in undone.err and "cleaner review" in undone.err
    answer(workspace)
    passed = program(*gate, "0.01")
    assert passed.exit_code == 0 and "0.99%" in passed.out, passed.err
    missed = program(*gate, "0.009")
    assert missed.exit_code == 4 and "--sample 332" in missed.err
    assert program("audit", "-C", workspace.root).exit_code == 0  # without a gate it only says


def test_json_is_one_document_of_the_known_form(workspace: Workspace, program: Program) -> None:
    first = program("audit", "-C", workspace.root, "--json").document("audit")
    assert (first["did"], first["complete"], first["gate"]) == ("drawn", False, None)
    failed = program("audit", "-C", workspace.root, "--json", "--fail-over", "0.01")
    assert failed.exit_code == 4
    assert failed.document("audit")["gate"] == {"fail_over": 0.01, "passed": False}
    answer(workspace)
    done = program("audit", "-C", workspace.root, "--json", "--fail-over", "0.01").document("audit")
    assert done["gate"]["passed"] and done["kept"]["noise"]["upper"] == pytest.approx(0.00993, abs=1e-5)


@pytest.mark.parametrize("arguments", [["--fail-over", "1.5"], ["--stage", "nothing"], ["--sample", "0"]])
def test_bad_options_end_with_2(workspace: Workspace, program: Program, arguments: list[str]) -> None:
    assert program("audit", "-C", workspace.root, *arguments).exit_code == 2


def test_a_stage_that_did_not_run_ends_with_3(workspace: Workspace, program: Program) -> None:
    done = program("audit", "-C", workspace.root, "--stage", "labels")
    assert done.exit_code == 3 and "cleaner labels" in done.err
