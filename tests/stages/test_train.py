"""`cleaner train`: what it writes, that others can load it, what it is measured on, and that a kill changes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cleaner.config import BalanceSettings, EmbeddingSettings, RunOptions, ScanSettings, TrainSettings
from cleaner.config_sources import resolve_config
from cleaner.dataset.checkpoint_files import find_checkpoints
from cleaner.dataset.images import PIXELS_VERSION, load_rgb
from cleaner.dataset.lineage import why_stale
from cleaner.dataset.store import sha256_file
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, StaleStageError, UsageError
from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.cards import read_card
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.linear_head import LinearHead
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.teachers import load_teachers
from cleaner.stages.balance import run_balance
from cleaner.stages.scan import run_scan
from cleaner.stages.train import run_train
from tests.support.backbones import SMALL
from tests.support.launcher import KILLED, Launcher
from tests.support.program import Program
from tests.support.trained import ARGUMENTS, EMBEDDING, NUM, OPTIONS, SIDE, draw, make_balanced, settings


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_balanced(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `train` has run, too. Read it."""
    root = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(drawn / "work", root)
    run_train(Workspace(root), settings(), OPTIONS)
    return root


@pytest.fixture
def work(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn / "work", tmp_path / "work")
    return tmp_path / "work"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# --- what it writes ---------------------------------------------------------------------------------------------------


def test_plain_timm_loads_the_checkpoint_and_gives_what_the_figures_were_made_of(trained: Path, drawn: Path) -> None:
    folder = trained / "train"
    card = read_json(folder / "class_map.json")
    network = timm.create_model(
        card["architecture"], num_classes=len(card["classes"]), checkpoint_path=str(folder / "model.safetensors")
    ).eval()
    assert card["classes"] == sorted(NUM) and not load_file(folder / "model.safetensors")["classifier.bias"].any()
    files = sorted((drawn / "images" / "val").rglob("*.png"))
    pixels = np.stack([load_rgb(path, card["test_size"]) for path in files]).astype(np.float32)
    x = torch.from_numpy((pixels - card["mean"]) / card["std"]).float().permute(0, 3, 1, 2)
    with torch.inference_mode():
        probs = (network(x).softmax(1) + network(x.flip(3)).softmax(1)) / 2
    right = np.array([card["classes"][i] for i in probs.argmax(1)]) == [p.parent.name for p in files]
    metrics = read_json(folder / "metrics.json")
    assert metrics["accuracy"] == right.mean() > 0.9
    curve = pd.read_csv(folder / "pr_curves.csv", keep_default_na=False).query("label == ''")
    assert np.allclose(curve["threshold"], np.sort(np.unique(probs.max(1).values.numpy()))[::-1], atol=1e-5)


def test_the_prior_is_that_of_what_the_sampler_shows(trained: Path) -> None:
    card = read_json(trained / "train" / "class_map.json")
    shown = np.array([30, 30, 60])  # repeated up to a half of the largest
    assert np.allclose(np.exp(card["log_prior"]), shown / shown.sum(), atol=1e-6)
    assert read_json(trained / "balance" / "class_priors.json")["counts_sampled"] == shown.tolist()
    table = pd.read_csv(trained / "train" / "classes.csv")
    assert table["train_images"].tolist() == list(NUM.values()) and table["sampled"].tolist() == shown.tolist()
    assert table["group"].tolist() == ["tail", "medium", "head"] and table["val_images"].tolist() == [8, 8, 8]


def test_tables_and_metrics_agree(trained: Path) -> None:
    folder = trained / "train"
    metrics, table = read_json(folder / "metrics.json"), pd.read_csv(folder / "classes.csv")
    assert metrics["mean_recall"] == pytest.approx(table["recall"].mean())
    assert metrics["recall_by_class_size"]["tail"] == pytest.approx(table["recall"][0])
    assert metrics["mean_average_precision"] == pytest.approx(table["average_precision"].mean())
    confusions = pd.read_csv(folder / "confusions.csv")
    assert confusions["images"].sum() == round((1 - metrics["accuracy"]) * 24)
    curves = pd.read_csv(folder / "pr_curves.csv", keep_default_na=False)
    for _, curve in curves.groupby("label"):
        assert (curve["envelope"].diff().dropna() <= 1e-9).all() and (curve["envelope"] >= curve["precision"]).all()
    assert len(metrics["training_loss"]) == 6 and metrics["batch_norm"]["num_channels"] > 100
    assert metrics["training_loss"][-1] < metrics["training_loss"][0]
    norms = metrics["batch_norm"]  # rows stand by class; looked at so, each batch would have statistics of its own
    assert norms["recall_batch_statistics"] > 0.8 and norms["recall_running_statistics"] > 0.8


def test_it_is_a_stage_with_a_lineage(trained: Path, work: Path) -> None:
    workspace = Workspace(trained)
    record = workspace.record("train")
    assert record is not None and record.input_sha256("parent") == sha256_file(trained / "balance" / "manifest.parquet")
    assert set(record.outputs) == {
        "model.safetensors",
        "class_map.json",
        "metrics.json",
        "classes.csv",
        "pr_curves.csv",
        "confusions.csv",
    }
    assert run_train(workspace, settings(), OPTIONS).was_current
    assert not (trained / "cache" / "training").exists(), "checkpoints of a finished training are of no more use"
    planned = run_train(workspace, settings(flood=0.1), RunOptions(workers=1, device="cpu", dry_run=True))
    assert planned.would_run == "setting flood: 0.0 became 0.1"
    # what it read changes: it is stale, and says so
    shutil.copytree(trained / "train", work / "train")
    run_balance(Workspace(work), BalanceSettings(embedding=SMALL, min_count=0, floor=1.0), OPTIONS)
    assert "balance" in why_stale(Workspace(work), "train")


def test_without_a_balance_stage_it_reads_the_one_before_and_any_manifest(work: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    shutil.copyfile(work / "scan" / "manifest.parquet", other)
    run_train(Workspace(work), settings(epochs=1), OPTIONS, from_file=other)
    table = pd.read_csv(work / "train" / "classes.csv")
    assert table["sampled"].tolist() == list(NUM.values())


def test_without_a_current_manifest_it_stops(tmp_path: Path) -> None:
    with pytest.raises(StaleStageError, match="no manifest for train"):
        run_train(Workspace(tmp_path), settings(), OPTIONS)


# --- what it is measured on -------------------------------------------------------------------------------------------


def test_a_folder_to_measure_on_without_what_was_learned_or_cannot_be_read(
    work: Path, drawn: Path, tmp_path: Path
) -> None:
    val = tmp_path / "val"
    shutil.copytree(drawn / "images" / "val", val)
    shutil.copyfile(drawn / "images" / "train" / "red" / "00.png", val / "red" / "learned.png")
    (val / "red" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    draw(val, "gold", 2, 3)
    result = run_train(Workspace(work), settings(epochs=1, val=str(val)), OPTIONS)
    said = " ".join(result.warnings)
    assert "1 held-out images cannot be read" in said and "1 held-out images are among the training images" in said
    assert "2 held-out images are of classes without training images" in said
    assert result.record.counts["val_images"] == 24 and result.record.input_sha256("val")
    draw(val / "more", "red", 1, 4)
    again = run_train(Workspace(work), settings(epochs=1, val=str(val)), RunOptions(dry_run=True))
    assert again.would_run.startswith("changed: val (")


def test_with_nothing_held_out_it_says_so(drawn: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, drawn / "images" / "train", ScanSettings(near_radius=0), OPTIONS)
    result = run_train(workspace, settings(epochs=1, patience=1), OPTIONS)
    assert any("no held-out images" in w for w in result.warnings)
    metrics = read_json(tmp_path / "work" / "train" / "metrics.json")
    assert metrics["accuracy"] is None and metrics["val_images"] == 0
    with pytest.raises(BadInputError, match="no such folder"):
        run_train(workspace, settings(val="nowhere"), OPTIONS)


def test_other_resolutions_scales_and_early_stop(work: Path) -> None:
    result = run_train(
        Workspace(work), settings(epochs=8, patience=1, test_size=48, scales=(1.0, 1.25), crops=5), OPTIONS
    )
    card, metrics = (read_json(work / "train" / name) for name in ("class_map.json", "metrics.json"))
    assert card["image_size"] == 32 and card["test_size"] == 48 and metrics["accuracy"] > 0.3
    assert metrics["epochs"] <= 8 and result.record.counts["val_images"] == 24
    assert [p.name for p in (work / "cache" / "pixels").iterdir()] == [f"60-v{PIXELS_VERSION}"]


# --- teachers ---------------------------------------------------------------------------------------------------------


def test_a_student_learns_from_a_teacher_of_another_architecture(work: Path, trained: Path) -> None:
    teacher = str(trained / "train" / "model.safetensors")
    embedding = EmbeddingSettings(backbone="test_resnet", image_size=SIDE, precision="fp32")
    run = settings(teacher=(teacher,), teacher_share=1.0, epochs=6, embedding=embedding)
    result = run_train(Workspace(work), run, OPTIONS)
    assert read_json(work / "train" / "metrics.json")["accuracy"] > 0.8, "with no label at all"
    assert result.record.input_sha256("teacher") == sha256_file(Path(teacher))


def test_teachers_must_know_the_classes_and_be_readable(work: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    shutil.copytree(trained / "train", folder)
    ensemble = load_teachers(
        find_checkpoints([folder, folder / "model.safetensors"]), ["red", "blue"], EMBEDDING, "cpu"
    )
    assert ensemble.size == 2
    images = torch.randint(0, 256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(0)).float()
    probs = ensemble.probs(images)
    assert probs.shape == (2, 2) and torch.allclose(probs.sum(1), torch.ones(2))
    with pytest.raises(BadInputError, match="does not know 1 of the classes") as error:
        load_teachers(find_checkpoints([folder]), ["red", "pink"], EMBEDDING, "cpu")
    assert "no pink" in error.value.found
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match="not a readable checkpoint"):
        load_teachers(find_checkpoints([folder]), ["red"], EMBEDDING, "cpu")
    (folder / "class_map.json").unlink()
    with pytest.raises(BadInputError, match="which classes"):
        read_card(folder / "model.safetensors")
    with pytest.raises(BadInputError, match="no checkpoint"):
        run_train(Workspace(work), settings(teacher=(str(tmp_path / "gone.safetensors"),)), OPTIONS)


def test_fold_models_of_the_probe_teach_what_they_predict(tmp_path: Path) -> None:
    backbone = load_backbone(SMALL.replace(image_size=64, precision="fp32"), "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    plain = backbone.embed(pixels)["plain"]
    learner = ProbeLearner(Embeddings(plain, plain), 2)
    generator = torch.Generator().manual_seed(0)
    expected = []
    for fold in range(2):
        head = LinearHead(
            learner.features,
            torch.randn(2, learner.features.dim, generator=generator) / 9,
            torch.randn(2, generator=generator),
        )
        expected.append(np.concatenate([probs for _, probs in head.predict(np.arange(3))]))
        path = tmp_path / f"fold_{fold}.safetensors"
        save_file({k: torch.from_numpy(v) for k, v in head.state().items()}, path)
        card = {"learner": "probe", "backbone": backbone.describe(), "classes": ["cat", "dog"]}
        path.with_suffix(".json").write_text(json.dumps(card))
    ours = EMBEDDING  # a student of another architecture and size: probes keep theirs
    ensemble = load_teachers(find_checkpoints([tmp_path]), ["dog", "cat"], ours, "cpu")
    probs = ensemble.probs(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    assert ensemble.size == 2 and np.allclose(probs.numpy(), np.mean(expected, 0)[:, ::-1], atol=2e-3)
    torch.manual_seed(0)
    other = {k: v.contiguous() for k, v in timm.create_model("efficientnet_lite0").state_dict().items()}
    save_file(other, tmp_path / "other.weights")
    shutil.move(tmp_path / "other.weights", tmp_path.parent / "other.safetensors")
    strange = SMALL.replace(weights=str(tmp_path.parent / "other.safetensors"), image_size=64)
    with pytest.raises(BadInputError, match="other backbones"):
        load_teachers(find_checkpoints([tmp_path]), ["cat", "dog"], strange, "cpu")


# --- interruption -----------------------------------------------------------------------------------------------------


def test_killed_in_mid_epoch_and_resumed_it_ends_with_the_same_network_and_metrics(
    launcher: Launcher, work: Path
) -> None:
    command = ["train", *ARGUMENTS, "-C"]
    whole = shutil.copytree(work, work.parent / "whole")
    done = launcher.start(*command, whole)
    assert done["code"] == 0, done["stderr"]
    for after in (10, 29):  # seven steps an epoch: in the second, and (ten are counted again) in the fifth
        killed = launcher.start(*command, work, kill_at={"task": "training", "after": after})
        assert killed["code"] == KILLED, killed["stderr"]
    resumed = launcher.start(*command, work)
    assert resumed["code"] == 0 and "training goes on at step 28 of 42" in resumed["stderr"], resumed["stderr"]
    for name in ("model.safetensors", "metrics.json", "classes.csv", "pr_curves.csv", "class_map.json"):
        assert sha256_file(work / "train" / name) == sha256_file(whole / "train" / name), name


# --- command line and settings ----------------------------------------------------------------------------------------


def test_the_command_prints_figures_and_a_document(trained: Path, work: Path, program: Program) -> None:
    done = program("train", *ARGUMENTS, "-C", trained)
    assert done.exit_code == 0 and "accuracy" in done.out and "tail" in done.out and "up to date" in done.out, done.err
    document = program("train", *ARGUMENTS, "-C", trained, "--json").document("train")
    assert document["was_current"] and document["metrics"]["val_images"] == 24
    planned = program("train", *ARGUMENTS, "-C", work, "--dry-run", "--json").document("dry-run")
    assert planned["stages"] == [{"stage": "train", "would_run": True, "why": "it has not run"}]
    assert program("train", "-C", work, "--scales", "big").exit_code == 2
    assert program("train", "-C", work, "--recipe", "crip").exit_code == 2


def test_recipes_are_listed_and_shown(work: Path, program: Program) -> None:
    done = program("recipes")
    assert done.exit_code == 0 and "probe" in done.out and "cutmix" in done.out
    document = program("recipes", "--json").document("recipes")
    assert len(document["recipes"]["finetune"]) >= 5 and document["contact_sheet"] == ""
    shown = program("recipes", "--show", 3, "-C", work)
    assert shown.exit_code == 0, shown.err
    sheet = np.asarray(Image.open(work / "recipes.png"))
    assert sheet.shape == (16 + 3 * 96, (1 + 8 + len(document["recipes"]["finetune"])) * 96, 3)
    original, mirrored = sheet[16:, :96], sheet[16:, 2 * 96 : 3 * 96]
    assert np.array_equal(mirrored, original[:, ::-1]) and original.std() > 20
    assert program("recipes", "--show", 3, "-C", work.parent / "absent").exit_code == 3


def test_teachers_in_a_settings_file_are_taken_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "cleaner.toml").write_text('[train]\nteacher = ["labels/models", "t.safetensors"]\nval = "v"\n')
    train = resolve_config(tmp_path, None, {"CLEANER_EMBEDDING_IMAGE_SIZE": "96"}).train
    assert train.teacher == (str(tmp_path / "labels" / "models"), str(tmp_path / "t.safetensors"))
    assert train.val == str(tmp_path / "v") and train.embedding.image_size == 96


@pytest.mark.parametrize(
    "values",
    [{"flood": -1.0}, {"prior": "x"}, {"crops": 3}, {"scales": (0.5,)}, {"test_size": 8}, {"temperature": 0.0}],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TrainSettings(**values)
