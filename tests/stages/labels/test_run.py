"""The labels stage on real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from cleaner.config import BalanceSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.lineage import why_stale
from cleaner.dataset.store import ArrayStore
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, UsageError
from cleaner.progress import Silent
from cleaner.stages.balance import run_balance
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
from tests.support.backbones import SMALL
from tests.support.scanned import picture, save


class Heard(Silent):
    """Remembers what was said and warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def labels_of(workspace: Path) -> pd.DataFrame:
    return pd.read_parquet(workspace / "labels" / "manifest.parquet").set_index("file_name")


def rounds_of(workspace: Path) -> pd.DataFrame:
    return pd.read_parquet(workspace / "labels" / "rounds.parquet")


def label(workspace: Path, options: RunOptions | None = None, **settings: object) -> pd.DataFrame:
    own = LabelsSettings(**{"embedding": SMALL} | settings)  # type: ignore[arg-type]
    run_labels(Workspace(workspace), own, options or RunOptions())
    return labels_of(workspace)


def test_what_is_dropped_follows_the_option(small_copy: Path) -> None:
    heard = Heard()
    plain = label(small_copy, RunOptions(progress=heard), rule="recipe")
    assert not [w for w in heard.warnings if "skipped" in w]  # top 5 of 12 classes
    issues = {kind: set(plain.index[plain["label_issue"] == kind]) for kind in ("coarse", "fine")}
    assert issues["fine"] and issues["coarse"]
    spared = set(json.loads((small_copy / "labels" / "stage.json").read_text())["counts"]["classes_not_cut"])
    for drop, kinds in (
        (None, {"coarse"}),
        ((), set()),
        (("fine",), {"fine"}),
        (("coarse", "fine"), {"coarse", "fine"}),
    ):
        after = label(small_copy, drop=drop, rule="recipe")
        gone = after[(after["drop_stage"] == "labels") & (after["drop_reason"] != "label_conflict")]
        assert set(gone["drop_reason"]) <= {f"label_issue_{kind}" for kind in kinds}
        for kind in kinds:
            mine = after[(after["label_issue"] == kind) & ~after["label"].isin(spared)]
            assert not mine["keep"].any() and set(mine.index) <= issues[kind]


def test_auto_drops_what_is_probably_wrong(small_copy: Path) -> None:
    after = label(small_copy)
    note = json.loads((small_copy / "labels" / "stage.json").read_text())
    threshold, spared = note["notes"]["rule"]["threshold"], set(note["counts"]["classes_not_cut"])
    judged = after["fold"] >= 0
    assert 0.3 <= threshold <= 0.5 and after.loc[~judged, "label_issue_prob"].isna().all()
    prob = after.loc[judged, "label_issue_prob"]
    assert prob.between(0, 1).all() and (after.loc[judged, "suggested_label"] != after.loc[judged, "label"]).all()
    gone = judged & after["drop_reason"].str.startswith("label_issue")
    expected = (after["label_issue_prob"] > threshold + 1e-4) & ~after["label"].isin(spared)
    assert (gone | ~expected | (after["drop_reason"] == "label_conflict")).all()
    assert (after.loc[gone, "label_issue_prob"] > threshold - 1e-4).all() and (
        after.loc[gone, "label_issue"] != ""
    ).all()
    assert gone.any()


def test_relabelling_keeps_the_sure_ones_under_their_suggested_label(small_copy: Path) -> None:
    sure = label(small_copy, relabel_above=0.6)
    moved = sure["clean_label"] != sure["label"]
    assert moved.any()
    assert (sure.loc[moved, "clean_label"] == sure.loc[moved, "suggested_label"]).all()
    assert (sure.loc[moved, "suggested_prob"] >= 0.6).all() and (sure.loc[moved, "label_issue"] != "").all()
    dropped = sure["drop_reason"].str.startswith("label_issue")
    assert (sure.loc[dropped, "suggested_prob"] < 0.6).all()
    assert sure.loc[moved & ~sure["label_conflict"], "keep"].all()
    assert (sure["label"] == sure.index.str.split("/").str[0]).all()


def test_a_pass_at_half_the_classes_or_more_is_skipped_with_a_warning(small_copy: Path) -> None:
    heard = Heard()
    after = label(small_copy, RunOptions(progress=heard), top_k=(6, 1), max_rounds=1, rule="recipe")
    assert any("top 6 of 12" in warning and "skipped" in warning for warning in heard.warnings)
    assert set(rounds_of(small_copy)["pass"]) == {"fine"} and set(after["label_issue"]) == {"", "fine"}
    # without a coarse pass the fine one decides what is dropped
    assert "label_issue_fine" in set(after["drop_reason"])


def test_a_small_set_is_not_warned_of_the_pass_it_cannot_have(
    odd_classes: Path, small_run: Path, tmp_path: Path
) -> None:
    """The coarse pass of the default schedule, skipped in a set of up to ten classes, is a note."""
    shutil.copytree(small_run / "cache", tmp_path / "cache")
    heard = Heard()
    run_scan(Workspace(tmp_path), odd_classes, ScanSettings(), RunOptions(workers=1))
    result = run_labels(Workspace(tmp_path), LabelsSettings(embedding=SMALL, max_rounds=0), RunOptions(progress=heard))
    assert any("top 5 of 8 classes" in line and "skipped" in line for line in heard.said)
    assert not [w for w in [*heard.warnings, *result.warnings] if "skipped" in w]


def test_a_pass_that_the_limit_of_rounds_ended_is_named(small_copy: Path) -> None:
    settings = LabelsSettings(embedding=SMALL, max_rounds=1, rule="recipe")
    result = run_labels(Workspace(small_copy), settings, RunOptions())
    passes = {p["pass"]: p["stable"] for p in result.record.notes["passes"]}
    ended = [kind for kind, stable in passes.items() if not stable]
    assert ended
    assert [w for w in result.warnings if "--max-rounds 1" in w] == [
        f"the {kind} pass ended at --max-rounds 1: it might pull more images back" for kind in ended
    ]


def test_settings_that_make_no_sense_are_refused() -> None:
    for bad in ({"top_k": (1, 5)}, {"top_k": ()}, {"folds": 1}, {"drop": ("all",)}, {"relabel_above": 0.0}):
        with pytest.raises(UsageError):
            LabelsSettings(**bad)  # type: ignore[arg-type]


def test_fold_models_are_kept_and_say_what_the_stage_said(small_copy: Path) -> None:
    models = small_copy / "labels" / "models"
    assert json.loads((models / "fold_0.json").read_text())["pass"] == "rule"
    label(small_copy, rule="recipe")
    assert sorted(p.name for p in models.iterdir()) == sorted(
        f"fold_{k}.{suffix}" for k in range(5) for suffix in ("json", "safetensors")
    )
    manifest = labels_of(small_copy)
    record = json.loads((small_copy / "labels" / "stage.json").read_text())
    assert {f"models/fold_{k}.safetensors" for k in range(5)} <= set(record["outputs"])
    embeddings = {}
    for shard in (small_copy / "cache" / "embeddings").rglob("*.arrays"):
        arrays = ArrayStore(shard.parent).get(shard.stem)
        assert arrays is not None
        for raw, plain, mirrored in zip(arrays["image_id"], arrays["plain"], arrays["mirrored"], strict=True):
            embeddings[raw.tobytes().hex()] = (plain.astype(np.float32), mirrored.astype(np.float32))
    # the rows of the last pass: judged by the model of their fold
    last = rounds_of(small_copy).query("`pass` == 'fine' and round == 0")["file_name"]
    agreed = []
    for name in last.iloc[::5]:
        row = manifest.loc[name]
        card = json.loads((models / f"fold_{row['fold']}.json").read_text())
        state = load_file(models / f"fold_{row['fold']}.safetensors")
        assert card["fold"] == row["fold"] and card["classes"] == sorted(card["classes"]) and card["pass"] == "fine"
        probs = 0
        for e in embeddings[row["image_id"]]:
            logits = (
                state["weight"] @ ((np.sign(e) * np.sqrt(np.abs(e)) - state["mean"]) / state["std"]) + state["bias"]
            )
            probs = probs + np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum() / 2
        agreed.append(card["classes"][int(np.argmax(probs))] == row["predicted_label"])
        assert np.max(probs) == pytest.approx(row["predicted_confidence"], abs=5e-3)
    assert len(agreed) > 30 and np.mean(agreed) > 0.95


def test_rounds_name_pass_round_recipe_and_every_judged_row(small_run: Path) -> None:
    rounds, manifest = rounds_of(small_run), labels_of(small_run)
    assert dict(rounds.dtypes.astype(str).items()).keys() >= {
        "pass",
        "round",
        "recipe",
        "file_name",
        "given_rank",
        "self_confidence",
        "predicted_label",
        "positive",
    }
    judged = set(manifest.index[manifest["fold"] >= 0])
    zero = rounds[(rounds["pass"] == "coarse") & (rounds["round"] == 0)]
    assert set(zero["file_name"]) == judged and len(zero) == len(judged)
    assert (zero["positive"] == zero["given_rank"].between(0, 4)).all()
    positives = rounds[(rounds["pass"] == "coarse") & rounds["positive"]]["file_name"]
    fine = rounds[(rounds["pass"] == "fine") & (rounds["round"] == 0)]
    assert set(fine["file_name"]) == set(positives)
    pulled = rounds[rounds["positive"]].drop_duplicates("file_name", keep="last").set_index("file_name")["round"]
    positive_now = manifest.index[manifest["pulled_back_round"] >= 0]
    assert (manifest.loc[positive_now, "pulled_back_round"] == pulled[positive_now]).all()


@pytest.fixture(scope="module")
def odd_classes(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of `small_images`, one image alone in a class, and a class whose images are all of other kinds."""
    root = tmp_path_factory.mktemp("odd")
    folders = sorted((small_images / "images").iterdir())
    for folder in folders[:6]:
        shutil.copytree(folder, root / folder.name)
    (root / "alone").mkdir()
    shutil.copyfile(sorted(folders[6].glob("*.jpg"))[0], root / "alone" / "1.jpg")
    (root / "anything").mkdir()
    for number, folder in enumerate(folders[:6]):
        for name in sorted(folder.glob("*.jpg"))[:2]:
            (root / name.relative_to(small_images / "images")).rename(root / "anything" / f"{number}_{name.name}")
    return root


def test_classes_that_no_model_can_learn_are_left_to_people(odd_classes: Path, small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run / "cache", tmp_path / "cache")
    workspace = Workspace(tmp_path)
    run_scan(workspace, odd_classes, ScanSettings(), RunOptions(workers=1))
    result = run_labels(workspace, LabelsSettings(embedding=SMALL, top_k=(1,), max_rounds=2), RunOptions())
    after = labels_of(tmp_path)
    counts = result.record.counts
    (alone,) = after.index[after["label"] == "alone"]
    assert after.loc[alone, "given_rank"] == -1 and after.loc[alone, "keep"] and after.loc[alone, "label_issue"] == ""
    assert counts["not_scored"] == 1 and any("could not be scored" in w for w in result.warnings)
    jumble = after[after["label"] == "anything"]
    assert "anything" in counts["classes_not_cut"] and jumble["keep"].all()
    assert (jumble["label_issue"] == "fine").sum() >= 8, "its rows stay, marked for people"
    assert any("anything" in warning for warning in result.warnings)
    assert (after["drop_reason"] == "label_issue_fine").any(), "other classes are cut"


def test_labels_read_the_scan_where_noise_did_not_run(odd_classes: Path, small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run / "cache", tmp_path / "cache")
    workspace = Workspace(tmp_path)
    run_scan(workspace, odd_classes, ScanSettings(), RunOptions(workers=1))
    result = run_labels(workspace, LabelsSettings(embedding=SMALL, top_k=(1,), max_rounds=0), RunOptions())
    assert [i.file for i in result.record.inputs if i.role == "parent"] == ["scan/manifest.parquet"]
    assert "noise_prob" not in labels_of(tmp_path)
    # noise that runs later makes the labels stale
    run_noise(workspace, NoiseSettings(embedding=SMALL), RunOptions())
    assert "noise has run since" in why_stale(workspace, "labels")


def test_too_little_to_learn_from_is_said(small_images: Path, tmp_path: Path) -> None:
    shutil.copytree(sorted((small_images / "images").iterdir())[0], tmp_path / "images" / "only")
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, tmp_path / "images", ScanSettings(), RunOptions(workers=1))
    with pytest.raises(BadInputError, match="too little to learn labels from") as refused:
        run_labels(workspace, LabelsSettings(embedding=SMALL), RunOptions())
    assert refused.value.found.startswith("1 classes") and refused.value.exit_code == 3


@pytest.mark.parametrize("num_copies", [1, 3])
def test_classes_without_a_second_picture_are_told_what_they_lack_and_need_no_labels(
    tmp_path: Path, num_copies: int
) -> None:
    for number in range(11):
        for copy in range(num_copies):
            save(tmp_path / "images" / f"{number}" / f"{copy}.png", picture(number))
    work = Workspace(tmp_path / "work")
    run_scan(work, tmp_path / "images", ScanSettings(), RunOptions(workers=1))
    with pytest.raises(BadInputError, match="too little to learn") as caught:
        run_labels(work, LabelsSettings(embedding=SMALL), RunOptions(workers=1))
    assert "two images" in caught.value.expected and "cleaner balance" in caught.value.next_step
    run_balance(work, BalanceSettings(embedding=SMALL), RunOptions(workers=1))
    assert work.read("balance")["keep"].sum() == 11
