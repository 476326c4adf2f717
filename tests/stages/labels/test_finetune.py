"""`labels` and `verify` with whole networks: what they write, and that kills in the middle of a fit change nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch

from cleaner.config import EmbeddingSettings, LabelsSettings, RunOptions, ScanSettings, VerifySettings
from cleaner.dataset.images import load_rgb
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.store import sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.errors import UsageError
from cleaner.modeling.finetune import FinetuneLearner
from cleaner.modeling.recipes import ROUND_RECIPES
from cleaner.stages.labels.run import run_labels
from cleaner.stages.scan import run_scan
from cleaner.stages.verify import run_verify
from tests.support.finetuned import FOLDS, OUTPUTS, SIDE, TINY, make_embedding
from tests.support.launcher import KILLED, Launcher
from tests.support.verified import draw_picture


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSettings:
    return make_embedding(tmp_path_factory.mktemp("weights"))


def arguments(root: Path, embedding: EmbeddingSettings) -> list[object]:
    """`cleaner labels` with whole networks, one cross-training and one round."""
    return [
        "labels",
        "-C",
        root,
        "--learner",
        "finetune",
        "--backbone",
        TINY,
        "--weights",
        embedding.weights,
        "--image-size",
        SIDE,
        "--folds",
        FOLDS,
        "--top-k",
        1,
        "--max-rounds",
        1,
        "--rule",
        "recipe",
        "--workers",
        1,
    ]


def copy_without_labels(source: Path, root: Path) -> Path:
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("labels", "balance"))
    return root


@pytest.fixture(scope="module")
def undisturbed(
    launcher: Launcher, embedding: EmbeddingSettings, small_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = copy_without_labels(small_run, tmp_path_factory.mktemp("undisturbed") / "workspace")
    done = launcher.start(*arguments(root, embedding))
    assert done["code"] == 0, done["stderr"]
    return root


def test_killed_in_mid_epoch_and_in_a_later_fit_it_ends_with_the_bytes_of_an_undisturbed_run(
    launcher: Launcher, embedding: EmbeddingSettings, undisturbed: Path, small_run: Path, tmp_path: Path
) -> None:
    root = copy_without_labels(small_run, tmp_path / "workspace")
    left = root / "cache" / "labels" / "unfinished"

    def start(**rest: object) -> str:
        done = launcher.start(*arguments(root, embedding), **rest)
        assert done["code"] == (KILLED if rest else 0), done["stderr"]
        return str(done["stderr"])

    start(kill_at={"step": 20})  # two steps make an epoch, eight epochs a model: the second epoch of the second model
    assert len(list(left.iterdir())) == 1
    said = start(kill_at={"task": "fine round 1", "after": 4})
    assert "goes on at step 16 of 16" in said and "goes on at step 2 of 16" in said
    assert len(list(left.iterdir())) == 1, "checkpoints of the finished cross-training are in the way"
    said = start()
    assert "cross-training (" not in said and "goes on at step" in said
    assert not left.exists()
    for name in OUTPUTS:
        assert sha256_file(root / "labels" / name) == sha256_file(undisturbed / "labels" / name), name


def test_plain_timm_loads_the_fold_models_and_predicts_as_the_stage_did(undisturbed: Path) -> None:
    record = json.loads((undisturbed / "labels" / "stage.json").read_text())
    assert record["notes"]["learner"] == record["settings"]["learner"] == "finetune"
    assert record["backbone"]["name"] == TINY and set(OUTPUTS) <= set(record["outputs"])
    manifest = read_manifest(undisturbed / "labels" / "manifest.parquet").set_index("file_name")
    rounds = pd.read_parquet(undisturbed / "labels" / "rounds.parquet").query("round == 0").set_index("file_name")
    for k in range(FOLDS):
        path = undisturbed / "labels" / "models" / f"fold_{k}.safetensors"
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["learner"] == "finetune" and card["fold"] == k and card["recipe"]["name"] == ROUND_RECIPES[0].name
        network = timm.create_model(card["architecture"], num_classes=len(card["classes"]), checkpoint_path=path).eval()
        names = [name for name in rounds.index if manifest.loc[name, "fold"] == k]
        pixels = np.stack([load_rgb(Path(record["images_root"]) / name, card["image_size"]) for name in names])
        x = torch.from_numpy((pixels - np.float32(card["mean"])) / np.float32(card["std"])).permute(0, 3, 1, 2)
        with torch.inference_mode():
            probs = (network(x).softmax(1) + network(x.flip(-1)).softmax(1)) / 2
        own = [card["classes"].index(label) for label in manifest.loc[names, "label"]]
        assert len(names) > 40
        confidence = rounds.loc[names, "self_confidence"].to_numpy()
        np.testing.assert_allclose(probs[np.arange(len(names)), own], confidence, atol=1e-4)


def test_the_rule_auto_trains_whole_networks_on_rows_weighted_by_trust(
    small_run: Path, embedding: EmbeddingSettings, tmp_path: Path
) -> None:
    root = copy_without_labels(small_run, tmp_path / "workspace")
    settings = LabelsSettings(learner="finetune", folds=2, top_k=(1,), max_rounds=0, embedding=embedding)
    result = run_labels(Workspace(root), settings, RunOptions(workers=1))
    rounds = result.record.notes["rule"]["rounds"]
    assert [r["recipe"] for r in rounds] == [r.name for r in ROUND_RECIPES[: len(rounds)]] and len(rounds) > 1
    card = json.loads((root / "labels" / "models" / "fold_1.json").read_text())
    assert card["pass"] == "rule" and card["recipe"]["name"] == rounds[-1]["recipe"]
    judged = read_manifest(root / "labels" / "manifest.parquet").query("given_rank >= 0")
    assert len(judged) > 150 and judged["label_issue_prob"].between(0, 1).all()
    assert run_labels(Workspace(root), settings, RunOptions(workers=1)).was_current


def test_verify_with_whole_networks_compares_three_seeds_by_the_final_recipe(
    embedding: EmbeddingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for k, name in enumerate(("ant", "bee", "cow")):
        for i in range(16):
            draw_picture(tmp_path / "images" / name / f"{i}.png", k, rng)
            draw_picture(tmp_path / "val" / name / f"{i}.png", k, rng)
    work = Workspace(tmp_path / "work")
    run_scan(work, tmp_path / "images", ScanSettings(near_radius=0), RunOptions(workers=1))
    brief = replace(
        FinetuneLearner.final_recipe, epochs=6, batch_size=8, learning_rate=3e-3, cutmix=0.0, augment=(), ema=0.0
    )
    monkeypatch.setattr(FinetuneLearner, "final_recipe", brief)
    settings = VerifySettings(val=str(tmp_path / "val"), learner="finetune", embedding=embedding)
    result = run_verify(work, settings, RunOptions(workers=1))
    document = json.loads((work.root / "verify" / "verify.json").read_text())
    assert document["learner"] == "finetune" and document["recipe"]["name"] == "final"
    assert document["seeds"] == [0, 1, 2] and result.record.backbone["name"] == TINY
    accuracy = {s["name"]: s["accuracy_by_seed"] for s in document["sets"]}
    assert accuracy["raw"] == accuracy["cleaned"], "the same images, seeds and steps"
    assert len(set(accuracy["raw"])) > 1 and np.mean(accuracy["raw"]) > 0.45, accuracy
    assert not (work.cache / "verify" / "unfinished").exists()


def test_an_unknown_learner_is_refused() -> None:
    for settings in (LabelsSettings, VerifySettings):
        with pytest.raises(UsageError, match="learner"):
            settings(learner="forest")  # type: ignore[arg-type]
