"""`cleaner verify` on small sets with planted faults: what it says, what it trains on, what it asks about."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cleaner.audit.draw import open_audit
from cleaner.config import RunOptions, ScanSettings, VerifySettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.manifest import drop_rows, read_manifest, write_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError, UsageError
from cleaner.report.build import write_report
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageRun
from cleaner.stages.verify import run_verify
from cleaner.stages.verify_sets import cleaned_set, find_test_images, listed_set, raw_set
from tests.support.program import Program

CLASSES = ("ant", "bee", "cow", "doe", "elk", "fox")
PER_CLASS, PER_CLASS_VAL = 30, 48
WRONG = 0.4


def draw_picture(path: Path, k: int, rng: np.random.Generator) -> None:
    """A picture of class k: stripes in its own direction and hue, under grain and a tint that varies."""
    y, x = np.mgrid[:48, :48]
    angle = np.pi * k / len(CLASSES)
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / 12 + rng.uniform(0, 6.28))
    hue = np.cos(2 * angle + 2 * np.pi * np.arange(3) / 3)
    pixels = 128 + 24 * wave[..., None] + 20 * hue + rng.normal(0, 30, (48, 48, 3)) + rng.uniform(-30, 30, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/` with 40 % wrong labels (the name tells the truth: cow-007.png), `val/`, and a scanned `work/`."""
    root, rng = tmp_path_factory.mktemp("verify"), np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        for i in range(PER_CLASS):
            given = CLASSES[(k + rng.integers(1, len(CLASSES))) % len(CLASSES)] if rng.random() < WRONG else name
            draw_picture(root / "images" / given / f"{name}-{i:03d}.png", k, rng)
        for i in range(PER_CLASS_VAL):
            draw_picture(root / "val" / name / f"{i:03d}.png", k, rng)
    run_scan(Workspace(root / "work"), root / "images", ScanSettings(near_radius=0), RunOptions(workers=1))
    run_verify(
        Workspace(root / "work"), VerifySettings(val=str(root / "val")), RunOptions(workers=1)
    )  # fills the cache
    return root


@pytest.fixture
def work(planted: Path, tmp_path: Path) -> Workspace:
    """A scanned workspace of one's own whose embeddings are cached."""
    shutil.copytree(planted / "work", tmp_path / "work")
    shutil.rmtree(tmp_path / "work" / "verify")
    return Workspace(tmp_path / "work")


def true_class(manifest: pd.DataFrame) -> np.ndarray:
    return manifest["file_name"].str.split("/").str[-1].str.split("-").str[0].to_numpy()


def write_cleaned(work: Workspace, drop: np.ndarray, **columns: Any) -> Path:
    """A manifest from which another rule dropped rows, and that the command reads with --from."""
    manifest = work.read("scan").assign(**columns)
    drop_rows(manifest, drop, "labels", "label_issue_fine")
    path = work.root / "cleaned.parquet"
    write_manifest(path, manifest, stage="labels", parent_sha256="")
    return path


def verify(work: Workspace, planted: Path, from_file: Path | None = None, **given: Any) -> dict[str, Any]:
    settings = VerifySettings(val=str(planted / "val"), num_seeds=given.pop("num_seeds", 0))
    run_verify(work, settings, RunOptions(workers=1), from_file, **given)
    document = json.loads((work.root / "verify" / "verify.json").read_text())
    assert isinstance(document, dict)
    return document


def wrong_rows(work: Workspace) -> np.ndarray:
    manifest = work.read("scan")
    wrong: np.ndarray = manifest["label"].to_numpy() != true_class(manifest)
    return wrong


# --- the verdict ------------------------------------------------------------------------------------------------------


def test_taking_wrong_labels_out_helped(work: Workspace, planted: Path) -> None:
    wrong = wrong_rows(work)
    done = verify(work, planted, write_cleaned(work, wrong))
    main = done["comparisons"][0]
    assert done["verdict"] == main["verdict"] == "helped" and 0 < main["low"] < main["mean"] < main["high"]
    raw, cleaned = done["sets"]
    assert (raw["name"], raw["images"], cleaned["images"]) == ("raw", len(wrong), int((~wrong).sum()))
    assert main["mean"] == pytest.approx(cleaned["accuracy"] - raw["accuracy"])
    assert len(raw["accuracy_by_seed"]) == 5 and done["slots"] == len(wrong)
    assert done["test"]["images"] == len(CLASSES) * PER_CLASS_VAL and not done["test"]["noisy_labels"]


def test_taking_right_labels_out_did_not_help_and_emptied_classes_are_named(work: Workspace, planted: Path) -> None:
    manifest = work.read("scan")
    clean = manifest["label"].to_numpy() == true_class(manifest)
    random = clean & (np.random.default_rng(1).random(len(clean)) < 0.3)
    assert verify(work, planted, write_cleaned(work, random))["verdict"] != "helped"
    gone = np.isin(manifest["label"], ["cow", "fox"])
    done = verify(work, planted, write_cleaned(work, gone))
    assert done["verdict"] == "hurt" and done["classes_emptied"] == ["cow", "fox"]
    assert {"cow", "fox"} <= set(done["classes_hurt"])
    by_label = {c["label"]: c for c in done["classes"]}
    assert by_label["cow"]["learned_after"] == 0 and by_label["cow"]["accuracy_after"] == 0


def test_the_same_set_twice_cannot_be_told_apart(work: Workspace, planted: Path) -> None:
    done = verify(work, planted)  # scan alone drops nothing here
    assert done["verdict"] == "cannot_tell" and done["comparisons"][0]["mean"] == 0
    assert done["classes_hurt"] == done["classes_helped"] == []


def test_clean_labels_and_repeats_count(work: Workspace, planted: Path) -> None:
    manifest = work.read("scan")
    nothing = np.zeros(len(manifest), bool)
    mended = verify(work, planted, write_cleaned(work, nothing, clean_label=true_class(manifest)))
    assert mended["verdict"] == "helped"
    few = np.where(manifest["label"] == "ant", 20, 1).astype(np.int32)
    path = write_cleaned(work, nothing, repeats=few, class_size=np.int32(1), class_action="keep")
    weights = cleaned_set(read_manifest(path)).weights
    assert weights.tolist() == few.tolist()


def test_other_sets_are_compared_with_both(work: Workspace, planted: Path, tmp_path: Path) -> None:
    wrong = wrong_rows(work)
    path = write_cleaned(work, wrong)
    names = work.read("scan").loc[~wrong, "file_name"]
    keep_list = tmp_path / "keep.csv"
    names.sample(frac=1, random_state=0).to_csv(keep_list, index=False)
    done = verify(work, planted, path, against=[keep_list, work.manifest_path("scan")])
    pairs = {(c["before"], c["after"]): c for c in done["comparisons"]}
    assert list(pairs) == [
        ("raw", "cleaned"),
        ("raw", "keep.csv"),
        ("keep.csv", "cleaned"),
        ("raw", "scan/manifest.parquet"),
        ("scan/manifest.parquet", "cleaned"),
    ]
    assert pairs["keep.csv", "cleaned"]["mean"] == 0  # the very same rows
    assert pairs["raw", "scan/manifest.parquet"]["mean"] == 0
    assert pairs["raw", "keep.csv"]["verdict"] == "helped"
    with pytest.raises(UsageError, match="two sets are named"):
        verify(work, planted, path, against=[keep_list, keep_list])


# --- what is asked about ----------------------------------------------------------------------------------------------


def test_copies_unknown_classes_and_damaged_files_are_left_out_with_a_warning(
    work: Workspace, planted: Path, tmp_path: Path
) -> None:
    val = tmp_path / "val"
    shutil.copytree(planted / "val", val)
    shutil.copytree(val / "ant", val / "gnu")  # the copies within val are no copies of training images
    shutil.copyfile(next((planted / "images" / "bee").iterdir()), val / "bee" / "seen.png")
    (val / "bee" / "empty.png").touch()
    run_verify(work, VerifySettings(val=str(val), num_seeds=2), RunOptions(workers=1))
    done = json.loads((work.root / "verify" / "verify.json").read_text())
    assert done["test"]["images"] == len(CLASSES) * PER_CLASS_VAL
    said = "\n".join(done["warnings"])
    assert (
        "1 images below" in said
        and "1 files below" in said
        and f"{PER_CLASS_VAL} test images are of classes that no set has" in said
    )
    with pytest.raises(BadInputError, match="no such folder"):
        run_verify(work, VerifySettings(val=str(tmp_path / "absent")), RunOptions())
    shutil.rmtree(val / "ant")
    run_verify(work, VerifySettings(val=str(val), num_seeds=2), RunOptions(workers=1))
    assert "1 classes have no test image" in (work.root / "verify" / "verify.json").read_text()


def test_without_held_out_images_it_says_how_to_come_by_them(work: Workspace) -> None:
    with pytest.raises(BadInputError, match="too few held-out images") as error:
        run_verify(work, VerifySettings(), RunOptions())
    assert "--val" in error.value.next_step and "cleaner audit" in error.value.next_step


def test_audited_images_are_held_out_and_stand_for_their_strata(work: Workspace, planted: Path) -> None:
    manifest = work.read("scan")
    wrong = manifest["label"].to_numpy() != true_class(manifest)
    drop_rows(manifest, wrong, "labels", "label_issue_fine")
    noise = np.flatnonzero(wrong)[:10]
    truth = pd.Series(true_class(manifest), index=manifest["image_id"].to_numpy())
    # the manifest takes the place of the scan's, so that an audit can be drawn from it
    record = work.record("scan")
    assert record is not None
    write_manifest(work.manifest_path("scan"), manifest, stage="scan", parent_sha256="")
    work.write_record(record, ["manifest.parquet"])
    sample, _ = open_audit(work, "scan", num_kept=30, num_dropped=20, seed=0)
    junk = set(manifest["image_id"].iloc[noise])
    events = [
        Event(
            kind="image",
            key=i,
            verdict="noise" if i in junk else "label",
            label="" if i in junk else truth[i],
            queue="audit",
        )
        for i in sample.rows["image_id"]
    ]
    DecisionStore(work.decisions_path).merge(events)
    test = find_test_images(StageRun.open(work, "verify", VerifySettings(), RunOptions()), manifest)
    drawn_junk = sample.rows["image_id"].isin(junk)
    assert test.kind == "audit" and len(test.images) == 50
    assert (test.images["label"] == "").sum() == drawn_junk.sum() > 0
    stands_for = test.images.groupby("stratum")["weight"].sum()
    assert stands_for.to_dict() == pytest.approx({"kept": (~wrong).sum(), "label_issue_fine": wrong.sum()})
    held_out = set(sample.rows.loc[~drawn_junk, "file_name"])
    assert set(manifest.loc[test.held_out, "file_name"]) == held_out
    run_verify(work, VerifySettings(num_seeds=2), RunOptions(workers=1))
    done = json.loads((work.root / "verify" / "verify.json").read_text())
    assert done["sets"][0]["images"] == len(manifest) - len(held_out)
    assert done["test"]["images"] == len(held_out) and done["test"]["kind"] == "audit"


def test_a_held_out_split_is_used_with_a_warning(tmp_path: Path, planted: Path) -> None:
    shutil.copytree(planted / "images", tmp_path / "all" / "train")
    shutil.copytree(planted / "val", tmp_path / "all" / "val")
    work = Workspace(tmp_path / "work")
    shutil.copytree(planted / "work" / "cache", work.cache)
    run_scan(work, tmp_path / "all", ScanSettings(near_radius=0), RunOptions(workers=1))
    run_verify(work, VerifySettings(num_seeds=2), RunOptions(workers=1))
    done = json.loads((work.root / "verify" / "verify.json").read_text())
    assert done["test"]["noisy_labels"] and done["test"]["images"] == len(CLASSES) * PER_CLASS_VAL
    assert "as given" in done["warnings"][0] and "audit" in done["warnings"][0]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_lists_with_faults_are_refused_by_row(work: Workspace, tmp_path: Path) -> None:
    manifest = work.read("scan")
    first, second = manifest["file_name"][:2]
    cases = {
        "file_name\nabsent.png\n": "absent.png' (row 2)",
        f"file_name\n{first}\n./{first}\n": "(row 3)",
        f"file_name,keep\n{first},perhaps\n": "perhaps",
        f"file_name,repeats\n{first},none\n": "none",
        "name\nx\n": "name",
    }
    for number, (text, needle) in enumerate(cases.items()):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        with pytest.raises(BadInputError) as error:
            listed_set(path, manifest)
        assert needle in error.value.found
    path = tmp_path / "good.csv"
    path.write_text(f"file_name,keep,label,repeats\n{second},true,gnu,3\n{first},false,gnu,0\n")
    listed = listed_set(path, manifest)
    assert (listed.rows.tolist(), listed.labels.tolist(), listed.weights.tolist()) == ([1], ["gnu"], [3.0])
    assert len(raw_set(manifest).rows) == len(manifest)


# --- the stage and the command ----------------------------------------------------------------------------------------


def test_it_is_up_to_date_until_something_changes_and_a_kill_costs_no_finished_fit(
    work: Workspace, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cleaner.modeling.probe import ProbeLearner

    path = write_cleaned(work, wrong_rows(work))
    first = verify(work, planted, path)
    settings = VerifySettings(val=str(planted / "val"))
    assert run_verify(work, settings, RunOptions(workers=1), path).was_current
    shutil.rmtree(work.root / "verify")  # as a kill before the end leaves it: the fits are there
    fits: list[int] = []
    fit = ProbeLearner.fit
    monkeypatch.setattr(ProbeLearner, "fit", lambda *a, **k: fits.append(1) or fit(*a, **k))
    assert verify(work, planted, path) == first and fits == []
    (planted / "val" / "ant" / "000.png").touch()
    assert not run_verify(work, settings, RunOptions(workers=1), path).was_current
    write_cleaned(work, np.arange(len(wrong_rows(work))) % 5 == 0)
    assert not run_verify(work, settings, RunOptions(workers=1), path).was_current and len(fits) == 5


def test_the_command_says_it_all_and_fails_on_hurt_where_it_is_told_to(
    work: Workspace, planted: Path, program: Program
) -> None:
    gone = np.isin(work.read("scan")["label"], ["cow", "fox"])
    cleaned = write_cleaned(work, gone)
    arguments = ["verify", "-C", work.root, "--val", planted / "val", "--from", cleaned, "--workers", "1"]
    dry = program(*arguments, "--dry-run")
    assert "would run: it has not run" in dry.out and not (work.root / "verify").exists()
    assert program(*arguments, "--dry-run", "--json").document("dry-run")["stages"][0]["would_run"]
    done = program(*arguments)
    assert done.exit_code == 0 and "classes hurt" in done.out and "cow, fox" in done.out
    assert "cleaned against raw: -" in done.out and ": hurt" in done.out
    failed = program(*arguments, "--fail-on-hurt", "--json")
    assert failed.exit_code == 4 and "is worse" in failed.err
    document = failed.document("verify")
    assert document["verdict"] == "hurt" and document["was_current"]
    assert program(*arguments, "--num-seeds", "1").exit_code == 2


def test_the_report_shows_it_and_says_when_it_is_of_an_earlier_result(work: Workspace, planted: Path) -> None:
    verify(work, planted)
    page = write_report(work).html.read_text()
    figures = json.loads((work.root / "report.json").read_text())
    assert "verify" in figures["sections"] and figures["verify"]["verdict"] == "cannot_tell"
    assert "Whether cleaning helped cannot be told" in page and "earlier result" not in page
    verify(work, planted, write_cleaned(work, np.isin(work.read("scan")["label"], ["cow", "fox"])))
    page = write_report(work).html.read_text()
    assert "Cleaning hurt" in page and "earlier result" in page
    shutil.rmtree(work.root / "verify")
    write_report(work)
    assert json.loads((work.root / "report.json").read_text())["verify"] is None
