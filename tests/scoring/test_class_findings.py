"""Jumbled classes and classes that are one: planted in synthetic embeddings, found by real cross-training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from cleaner.config import BalanceSettings, LabelsSettings, RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.report.build import write_report
from cleaner.review.desk import Desk
from cleaner.scoring.class_findings import ClassFindings, find_class_findings
from cleaner.stages.balance import run_balance
from cleaner.stages.labels.run import run_labels
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageResult
from tests.support.backbones import SMALL
from tests.support.places import REPO, SAMPLE
from tests.support.planted import predictions_of

NUM_CLASSES, NUM_EACH, DIM = 20, 60, 24
ALIKE = (0, 1)
"""Genuine look-alikes: their centres lie close together."""


def draw_images(num_classes: int, seed: int, num_each: int = NUM_EACH) -> tuple[Embeddings, np.ndarray]:
    """Images around class centres, the first two of them alike, in two views; and their classes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, DIM))
    centres[ALIKE[1]] = centres[ALIKE[0]] + 0.35 * rng.normal(size=DIM)
    labels = np.repeat(np.arange(num_classes), num_each)
    images = centres[labels] + 0.8 * rng.normal(size=(len(labels), DIM))
    views = [np.abs(images + 0.1 * rng.normal(size=images.shape)).astype(np.float16) * np.sign(images) for _ in "12"]
    return Embeddings(*(v.astype(np.float16) for v in views)), labels


def judge(views: Embeddings, labels: np.ndarray) -> ClassFindings:
    """What cross-training with the probe says of the classes."""
    num, rows = int(labels.max()) + 1, np.arange(len(labels))
    fold = np.random.default_rng(0).integers(5, size=len(labels))
    images = FoldedRows(rows, labels, fold, np.ones(len(rows), np.float32))
    predictions, _ = cross_train(ProbeLearner(views, num), images, PROBE_RECIPES[0], seed=0)
    return find_class_findings(predictions, num)


def split_in_two(labels: np.ndarray, name: int, rng: np.random.Generator) -> np.ndarray:
    """A random half of a class gets a new number."""
    mine = rng.permutation(np.flatnonzero(labels == name))
    divided = labels.copy()
    divided[mine[: len(mine) // 2]] = labels.max() + 1
    return divided


def only(views: Embeddings, rows: np.ndarray) -> Embeddings:
    return Embeddings(views.plain[rows], views.mirrored[rows])


@pytest.mark.parametrize("seed", [0, 1])
def test_an_unmodified_set_has_no_findings_although_two_classes_are_alike(seed: int) -> None:
    found = judge(*draw_images(NUM_CLASSES, seed))
    assert not found.jumbled.any() and (found.overlaps_with == -1).all()
    first, second = ALIKE
    assert found.nearest[first] == second and found.nearest[second] == first
    assert 0.7 < found.separability[first] < 0.999  # alike indeed: they are confused, yet told apart
    assert found.recognised[first] < np.median(found.recognised)


def test_jumbles_of_other_classes_and_split_classes_are_named_and_nothing_else_is() -> None:
    """Halves of 30 images each: an overlap may stay open now and then, never is one named that is not there."""
    jumbles, splits, num_named = [5, 9], [7, 12], 0
    for seed in range(4):
        rng = np.random.default_rng([seed, 1])
        views, labels = draw_images(NUM_CLASSES, seed)
        kept = ~np.isin(labels, jumbles)
        given = labels.copy()
        moved = rng.permutation(np.flatnonzero(kept & ~np.isin(labels, splits)))
        for i, name in enumerate(jumbles):
            given[moved[i * NUM_EACH : (i + 1) * NUM_EACH]] = name
        for name in splits:
            given = split_in_two(given, name, rng)
        found = judge(only(views, kept), given[kept])
        assert np.flatnonzero(found.jumbled).tolist() == jumbles
        one = {frozenset((int(a), int(found.overlaps_with[a]))) for a in np.flatnonzero(found.overlaps_with >= 0)}
        assert one <= {frozenset((7, 20)), frozenset((12, 21))}
        assert found.nearest[[7, 12]].tolist() == [20, 21] and (found.overlap[[7, 12]] > 0.3).all()
        num_named += len(one)
    assert num_named >= 6


def test_a_jumble_of_images_from_nowhere_else_is_named() -> None:
    views, labels = draw_images(NUM_CLASSES + 20, 3)
    outside = labels >= NUM_CLASSES
    rows = np.flatnonzero(~outside | (np.arange(len(labels)) % 10 < 2))
    found = judge(only(views, rows), np.minimum(labels, NUM_CLASSES)[rows])
    assert np.flatnonzero(found.jumbled).tolist() == [NUM_CLASSES]
    assert (found.overlaps_with == -1).all()


def test_a_class_in_three_parts_is_one_and_no_jumble() -> None:
    views, labels = draw_images(10, 4, num_each=120)
    given = labels.copy()
    thirds = np.random.default_rng(4).permutation(np.flatnonzero(labels == 6))
    given[thirds[:40]], given[thirds[40:80]] = 10, 11
    found = judge(views, given)
    parts = [6, 10, 11]
    assert not found.jumbled.any()
    assert np.flatnonzero(found.overlaps_with >= 0).tolist() == parts
    assert np.isin(found.overlaps_with[parts], parts).all()


def test_nothing_is_said_of_a_class_of_few_images() -> None:
    views, labels = draw_images(NUM_CLASSES, 5)
    rng = np.random.default_rng(5)
    given = split_in_two(labels, 3, rng)
    few = np.flatnonzero(given == 3)[15:]
    rows = np.setdiff1d(np.arange(len(given)), few)
    found = judge(only(views, rows), given[rows])
    assert found.num_images[3] == 15 and (found.overlaps_with == -1).all() and not found.jumbled.any()


def test_evidence_of_a_tiny_example_by_hand() -> None:
    classes = np.array([[0, 1, 2], [0, 1, 2], [1, 0, 2], [1, 2, 0]])
    probs = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.7, 0.2, 0.1], [0.4, 0.35, 0.25]], np.float32)
    found = find_class_findings(predictions_of(classes, probs), 3)
    assert found.num_images.tolist() == [2, 2, 0]
    assert found.recognised[:2].tolist() == [0.5, 1.0] and np.isnan(found.recognised[2])
    assert found.nearest.tolist() == [1, 0, -1]
    # log p(0) / p(1): images of 0: 2.1, -0.7; of 1: -1.25, -0.47: three of four pairs are in order
    assert found.separability[:2] == pytest.approx(0.75)
    # thresholds 0.55: the first counts for 0, the second for 1, the third for 1, the last for none
    assert found.overlap[:2] == pytest.approx(1 / 3)
    assert found.spread[0] == pytest.approx(1.0) and found.spread[1] == 0


@pytest.fixture(scope="module")
def suspicious(
    sample_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, StageResult, StageResult]:
    """Ten classes of sample_data, a class in two halves and a jumble, through labels and balance."""
    root, workspace = tmp_path_factory.mktemp("suspicious"), Workspace(tmp_path_factory.mktemp("workspace"))
    truth = pd.read_csv(SAMPLE / "truth.csv", keep_default_na=False)
    sound = truth[(truth["given_label"] == truth["clean_label"]) & (truth[["fault", "duplicate_of"]] == "").all(axis=1)]
    sound = sound[~sound["is_noise_image"].astype(str).str.lower().eq("true")]
    mugs = sound.loc[sound["given_label"] == "cup_mug", "file_name"].tolist()
    places = {name: ("mug" if i % 2 else "cup") for i, name in enumerate(mugs)}
    others = sorted(set(sound["given_label"]) - {"cup_mug", "cup_teacup", "misc", "lighthouse"})[:10]
    for label in others:
        names = sound.loc[sound["given_label"] == label, "file_name"].tolist()
        places |= dict.fromkeys(names[:30], label) | dict.fromkeys(names[30:33], "anything")
    for number, (name, label) in enumerate(places.items()):
        (root / label).mkdir(exist_ok=True)
        shutil.copyfile(SAMPLE / "images" / name, root / label / f"{number}.jpg")
    shutil.copytree(sample_run / "cache", workspace.cache)
    run_scan(workspace, root, ScanSettings(), RunOptions(workers=1))
    labelled = run_labels(workspace, LabelsSettings(embedding=SMALL, max_rounds=2), RunOptions())
    return workspace, labelled, run_balance(workspace, BalanceSettings(embedding=SMALL, min_count=0), RunOptions())


def test_the_labels_stage_writes_and_says_what_it_suspects(
    suspicious: tuple[Workspace, StageResult, StageResult],
) -> None:
    workspace, labelled, _ = suspicious
    counts = labelled.record.counts
    assert counts["classes_jumbled"] == ["anything"] and counts["classes_overlapping"] == [["cup", "mug"]]
    said = " ".join(labelled.warnings)
    assert "anything" in said and "cup = mug" in said and "--merge-into" in said
    assert "classes.parquet" in labelled.record.outputs
    table = pd.read_parquet(workspace.stage_dir("labels") / "classes.parquet").set_index("label")
    rows = workspace.read("labels")
    assert table["images"].to_dict() == rows["label"].value_counts().to_dict()
    assert table["kept"].to_dict() == rows.groupby("label")["keep"].sum().to_dict()
    first = rows[rows["label"] == "cup"]
    assert table.loc["cup", "issue_prob"] == pytest.approx(first["label_issue_prob"].mean(), abs=1e-5)


def test_people_judge_suspected_classes_in_balance_review_and_report(
    suspicious: tuple[Workspace, StageResult, StageResult], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "own")
    shutil.copytree(suspicious[0].root, workspace.root)
    assert suspicious[2].record.counts["classes_for_people"] == ["anything", "cup", "mug"]
    queue = Desk(workspace, "ann").queue("low-count")
    assert set(queue.items["key"]) == {"anything", "cup", "mug"}
    position = queue.position_of["class", "cup"]
    assert queue.choices(position)[0] == ("merge", "mug") and "looks like one with mug" in " ".join(
        queue.facts(position)
    )
    write_report(workspace)
    figures = json.loads((workspace.root / "report.json").read_text())
    jsonschema.validate(figures, json.loads((REPO / "docs" / "schemas" / "report-file.schema.json").read_text()))
    assert [f["label"] for f in figures["classes"]["findings"]] == ["anything", "cup"]
    assert "Suspected classes" in (workspace.root / "report.html").read_text()
    DecisionStore(workspace.decisions_path).add("class", "cup", "merge", label="mug")
    again = run_labels(workspace, LabelsSettings(embedding=SMALL, max_rounds=2), RunOptions())
    assert again.record.counts["classes_overlapping"] == []
    mugs = workspace.read("labels").query("label in ('cup', 'mug')")
    assert set(mugs["clean_label"]) == {"mug"} and mugs["keep"].mean() > 0.9  # no longer taken for one another
    after = run_balance(workspace, BalanceSettings(embedding=SMALL, min_count=0), RunOptions())
    assert after.record.counts["classes_for_people"] == ["anything"]
    table = pd.read_parquet(workspace.stage_dir("balance") / "classes.parquet").set_index("label")
    assert "cup" not in table.index
    assert table.loc["mug", "finding"] == "" and table.loc["anything", "finding"] == "jumbled"
