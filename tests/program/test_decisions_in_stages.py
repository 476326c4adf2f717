"""People's decisions in the stages: every verdict is obeyed, on exactly the rows that it is about."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.decision_files import import_decisions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.lineage import open_parent
from cleaner.dataset.verdicts import read_verdicts
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError
from cleaner.progress import Silent
from cleaner.stages.balance import run_balance
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageResult
from tests.support.backbones import SMALL

SETTINGS = BalanceSettings(embedding=SMALL, low_count="keep")


class Tasks(Silent):
    """Remembers which tasks were opened."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task(self, name: str, total: int):  # type: ignore[no-untyped-def]
        self.names.append(name)
        return super().task(name, total)


def read(workspace: Path, stage: str) -> pd.DataFrame:
    return pd.read_parquet(workspace / stage / "manifest.parquet").set_index("file_name")


def decide(workspace: Path, rows: list[tuple[str, str, str]], on: str = "file_name") -> None:
    """Import rows (what, verdict, label) as `cleaner decisions import` does."""
    path = workspace / f"decisions_{on}.csv"
    pd.DataFrame(rows, columns=[on, "verdict", "label"]).to_csv(path, index=False)
    scan = pd.read_parquet(workspace / "scan" / "manifest.parquet")
    store = DecisionStore(workspace / "decisions.sqlite")
    assert import_decisions(path, store, scan).num_added == len(rows)


def run_all(workspace: Path, seeds: Path, options: RunOptions | None = None) -> list[StageResult]:
    place, options = Workspace(workspace), options or RunOptions()
    return [
        run_noise(place, NoiseSettings(embedding=SMALL, seeds=str(seeds)), options),
        run_labels(place, LabelsSettings(embedding=SMALL), options),
        run_balance(place, SETTINGS, options),
    ]


@pytest.fixture
def seeds(small_images: Path) -> Path:
    return small_images / "seeds.csv"


def test_every_verdict_on_images_is_obeyed_and_on_no_other_row(small_copy: Path, seeds: Path) -> None:
    before = read(small_copy, "balance")
    single = before[before["duplicate_group"] == -1]
    kept = single[single["keep"] & (single["label_issue"] == "")]
    fine = single[single["keep"] & (single["label_issue"] == "fine")]
    coarse = single[single["drop_reason"] == "label_issue_coarse"]
    by_model = single[(single["noise_evidence"] == "model") & single["is_noise"]]
    good = kept[kept["noise_evidence"] == "model"]
    other = sorted(set(before["label"]) - {good["label"].iloc[0]})[0]
    pick = {
        "same": fine.index[0],  # the given label is right
        "other": good.index[0],  # it belongs elsewhere, although no model said so
        "back": coarse.index[0],  # dropped, and right as it was
        "noise": good.index[-1],
        "normal": by_model.index[0],  # dropped as noise, and not noise
        "looks": by_model.index[1],  # looks like noise, and has a right label
        "drop": good.index[len(good) // 2],
        "unsure": good.index[len(good) // 3],
    }
    assert len(set(pick.values())) == 8
    contested = before[before["label_conflict"]]
    copies = contested[contested["image_id"] == contested["image_id"].iloc[0]]
    assert len(copies) == 2
    right = copies["label"].iloc[-1]
    decide(
        small_copy,
        [
            (pick["same"], "label", before.loc[pick["same"], "label"]),
            (pick["other"], "label", other),
            (pick["back"], "label", before.loc[pick["back"], "label"]),
            (pick["noise"], "noise", ""),
            (pick["normal"], "normal", ""),
            (pick["looks"], "label", before.loc[pick["looks"], "label"]),
            (copies.index[0], "label", right),
            (pick["drop"], "drop", ""),
            (pick["unsure"], "unsure", ""),
        ],
    )
    place = Workspace(small_copy)
    with pytest.raises(StaleStageError, match="people decided more since") as stale:
        run_balance(place, SETTINGS, RunOptions())
    assert "cleaner labels" in stale.value.next_step or "cleaner noise" in stale.value.next_step
    assert not any(result.was_current for result in run_all(small_copy, seeds))
    after = read(small_copy, "balance")

    noise, normal = after.loc[pick["noise"]], after.loc[pick["normal"]]
    assert (noise["keep"], noise["drop_stage"], noise["is_noise"]) == (False, "noise", True)
    assert noise["noise_round"] == 0
    assert (normal["drop_stage"] == "noise", normal["is_noise"]) == (False, False)
    of_noise = {pick[name] for name in ("noise", "normal", "looks", "drop")}
    # once the like of it was called normal, the model itself may take "looks" for good
    assert of_noise - {pick["looks"]} <= set(after.index[after["noise_evidence"] == "person"]) <= of_noise

    for name in ("same", "other", "back", "looks"):
        row = after.loc[pick[name]]
        assert row["keep"] and row["label_issue"] == "" and row["label_evidence"] == "person", name
        assert row["label"] == before.loc[pick[name], "label"] and not row["is_noise"]
    assert after.loc[pick["same"], "clean_label"] == before.loc[pick["same"], "label"]
    assert after.loc[pick["other"], "clean_label"] == other
    # a label holds for every copy, whatever label each stands under; the one that stands under it stays
    of_copies = after.loc[copies.index]
    assert (
        set(of_copies["clean_label"]) == {right}
        and of_copies["keep"].tolist() == (of_copies["label"] == right).tolist()
    )
    moved = {pick["other"], *copies.index[copies["label"] != right]}
    assert set(after.index[after["clean_label"] != after["label"]]) == moved
    of_label = {pick[name] for name in ("same", "other", "back", "looks")} | set(copies.index)
    assert of_label <= set(after.index[after["label_evidence"] == "person"]) <= of_label | {pick["drop"]}

    gone = after[after["drop_reason"] == "person"]
    assert (
        set(gone.index) - {pick["noise"]} == {pick["drop"]}
        and not gone["is_noise"].drop(pick["noise"], errors="ignore").any()
    )
    # an abstention says nothing
    unsure = after.loc[pick["unsure"]]
    assert (unsure["noise_evidence"], unsure["label_evidence"]) == ("model", "model")


def test_decisions_are_seeds_before_any_file(small_copy: Path) -> None:
    before = read(small_copy, "noise")
    judged = before[before["drop_stage"] != "scan"]
    noise = judged.index[judged["is_noise"]][:8]
    normal = judged.index[~judged["is_noise"]][::10]
    decide(small_copy, [*((n, "noise", "") for n in noise), *((n, "normal", "") for n in normal)])
    result = run_noise(Workspace(small_copy), NoiseSettings(embedding=SMALL), RunOptions())
    assert result.record.notes["seeds"]["source"] == "people"
    after = read(small_copy, "noise")
    said = set(after.loc[[*noise, *normal], "image_id"])
    assert set(after.index[after["noise_evidence"] == "person"]) == set(after.index[after["image_id"].isin(said)])
    assert after.loc[noise, "is_noise"].all() and not after.loc[normal, "is_noise"].any()
    assert (after.loc[[*noise, *normal], "noise_round"] == 0).all()


def test_every_verdict_on_classes_is_obeyed(small_copy: Path) -> None:
    place = Workspace(small_copy)
    run_balance(place, BalanceSettings(embedding=SMALL, low_count="drop", min_count=1000), RunOptions())
    assert not (read(small_copy, "balance")["drop_stage"] == "balance").any()  # all classes are never dropped
    one, two, three, four = sorted(set(read(small_copy, "balance")["label"]))[:4]
    decide(small_copy, [(one, "keep", ""), (two, "drop", ""), (three, "merge", four), (four, "keep", "")], on="class")
    with pytest.raises(StaleStageError, match="labels"):  # what is one class now must be judged as one
        run_balance(place, SETTINGS, RunOptions())
    run_labels(place, LabelsSettings(embedding=SMALL), RunOptions())
    run_balance(place, BalanceSettings(embedding=SMALL, low_count="drop", min_count=1000), RunOptions())
    after, parent = read(small_copy, "balance"), read(small_copy, "labels")
    classes = pd.read_parquet(small_copy / "balance" / "classes.parquet").set_index("label")
    assert classes.loc[[one, two, four], "action"].tolist() == ["keep", "drop", "keep"]
    assert after.loc[after["label"] == one, "keep"].equals(parent.loc[parent["label"] == one, "keep"])
    mine = parent[parent["keep"]]
    assert set(after.loc[mine.index[mine["label"] == two], "drop_reason"]) == {"person"}
    merged = mine.index[mine["label"] == three]
    assert set(after.loc[merged, "clean_label"]) == {four} and after.loc[merged, "keep"].all()
    assert (after.loc[merged, "label"] == three).all()
    assert set(after.loc[after["clean_label"] != after["label"], "label"]) == {three}
    assert after.loc[merged, "class_size"].iloc[0] == (mine["label"].isin([three, four])).sum()
    rest = after[~after["label"].isin([one, two, three, four]) & (after["drop_stage"] == "balance")]
    assert set(rest["drop_reason"]) == {"low_count_class"}


def test_people_who_differ_decide_nothing(small_copy: Path, seeds: Path) -> None:
    before = read(small_copy, "labels")
    row = before[before["keep"] & (before["duplicate_group"] == -1)].iloc[5]
    store = DecisionStore(small_copy / "decisions.sqlite")
    store.add("image", row["image_id"], "drop", annotator="ann")
    store.add("image", row["image_id"], "label", label=row["label"], annotator="bob")
    assert [r.was_current for r in run_all(small_copy, seeds)[:2]] == [True, True]


def test_label_decisions_reuse_the_cross_training(small_copy: Path, seeds: Path) -> None:
    before = read(small_copy, "labels")
    negative = before[(before["label_issue"] == "coarse") & (before["duplicate_group"] == -1)]
    decide(small_copy, [(name, "label", before.loc[name, "label"]) for name in negative.index[:3]])
    tasks = Tasks()
    results = run_all(small_copy, seeds, RunOptions(progress=tasks))
    assert results[0].was_current, "deciding on labels must not make noise stale"
    opened = [name for name in tasks.names if name != "embedding"]
    assert not [name for name in opened if name.startswith("coarse") and "cross-training" in name]
    assert [name for name in opened if name.startswith("coarse round 1")], "decisions enter at round 1"
    after = read(small_copy, "labels")
    same = ["fold", "given_rank", "self_confidence", "predicted_label", "predicted_confidence"]
    still = after.index[(after["label_issue"] == "coarse")].intersection(negative.index)
    pd.testing.assert_frame_equal(after.loc[still, same], before.loc[still, same])


def test_who_throws_out_an_image_and_who_keeps_one_both_recalibrate(small_copy: Path, seeds: Path) -> None:
    before = read(small_copy, "labels")
    alone = before[before["label_issue_prob"].notna() & (before["duplicate_group"] == -1) & before["keep"]]
    sound = alone.sort_values("label_issue_prob").index[:60]
    rest = sound[30:]
    decide(small_copy, [(name, "drop", "") for name in sound[:30]])
    run_all(small_copy, seeds)
    after = read(small_copy, "labels")
    assert Workspace(small_copy).record("labels").notes["rule"]["recalibrated_by"] == 30
    # thirty labels that were thought right did not fit: the others may not either
    assert after.loc[rest, "label_issue_prob"].mean() > before.loc[rest, "label_issue_prob"].mean() + 0.02


def test_decisions_outlive_a_forced_run_and_undoing_one_undoes_what_it_did(small_copy: Path) -> None:
    place, before = Workspace(small_copy), read(small_copy, "labels")
    name = before.index[(before["label_issue"] == "coarse") & (before["duplicate_group"] == -1)][0]
    decide(small_copy, [(name, "label", before.loc[name, "label"])])
    run_labels(place, LabelsSettings(embedding=SMALL), RunOptions())
    first = read(small_copy, "labels")
    assert first.loc[name, "keep"] and first.loc[name, "label_evidence"] == "person"
    run_labels(place, LabelsSettings(embedding=SMALL), RunOptions(force=True))
    pd.testing.assert_frame_equal(read(small_copy, "labels"), first)
    with sqlite3.connect(small_copy / "decisions.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
    store = DecisionStore(small_copy / "decisions.sqlite")
    store.undo(int(store.events()["seq"].iloc[-1]))
    assert not run_labels(place, LabelsSettings(embedding=SMALL), RunOptions()).was_current
    pd.testing.assert_frame_equal(read(small_copy, "labels"), before)


def test_export_and_later_stages_wait_for_what_people_decided(small_copy: Path, seeds: Path) -> None:
    place = Workspace(small_copy)
    run_all(small_copy, seeds)
    noise = read(small_copy, "noise")
    name = noise.index[noise["is_noise"]][0]
    decide(small_copy, [(name, "normal", "")])
    with pytest.raises(StaleStageError, match="noise"):  # two stages up, and balance itself does not use the verdict
        run_balance(place, SETTINGS, RunOptions())
    with pytest.raises(StaleStageError, match="noise"):
        open_parent(place, "export", None, read_verdicts(place))
    run_all(small_copy, seeds)
    open_parent(place, "export", None, read_verdicts(place))
    kept = read(small_copy, "balance").query("keep").index[0]
    decide(small_copy, [(kept, "noise", "")])  # noise and labels both use it: what comes first is named
    with pytest.raises(StaleStageError, match=r"noise/manifest.parquet is stale(.|\n)*and the stages after it"):
        run_balance(place, SETTINGS, RunOptions())


def test_one_verdict_without_any_seeds_is_laid_over_the_cold_start(small_copy: Path) -> None:
    kept = read(small_copy, "scan").query("keep")
    name = kept.index[0]
    decide(small_copy, [(name, "noise", "")])
    run_noise(Workspace(small_copy), NoiseSettings(embedding=SMALL), RunOptions())
    row = read(small_copy, "noise").loc[name]
    assert row["is_noise"] and row["noise_evidence"] == "person" and not row["keep"]


def test_merges_in_a_circle_are_named_and_merged_classes_are_counted(small_copy: Path) -> None:
    place, classes = Workspace(small_copy), sorted(set(read(small_copy, "labels").query("keep")["clean_label"]))[:2]
    first, second = classes
    decide(small_copy, [(first, "merge", second)], on="class")
    run_labels(place, LabelsSettings(embedding=SMALL), RunOptions())
    run_balance(place, SETTINGS, RunOptions())
    table = pd.read_parquet(small_copy / "balance" / "classes.parquet").set_index("label")
    labels = read(small_copy, "labels")
    assert first not in set(labels["clean_label"]) and first not in set(labels["predicted_label"])
    assert first in set(labels["label"])
    assert table.loc[second, "size_raw"] == labels["label"].isin(classes).sum()
    assert table.loc[second, "size_clean"] == labels.query("keep")["clean_label"].isin(classes).sum()
    decide(small_copy, [(second, "merge", first)], on="class")
    with pytest.raises(BadInputError, match="circle"):
        run_labels(place, LabelsSettings(embedding=SMALL), RunOptions())


def test_an_image_that_changed_since_the_scan_is_refused_and_leaves_no_embedding(
    small_images: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(small_images / "images", images)
    place = Workspace(tmp_path / "work")
    run_scan(place, images, ScanSettings(), RunOptions())
    victim = place.read("scan").query("keep")["file_name"].iloc[0]
    (images / victim).write_bytes((images / place.read("scan").query("keep")["file_name"].iloc[-1]).read_bytes())
    with pytest.raises(BadInputError, match=Path(victim).name):
        run_noise(place, NoiseSettings(embedding=SMALL, seeds=str(small_images / "seeds.csv")), RunOptions())
