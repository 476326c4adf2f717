"""`cleaner verify` on small sets with planted faults: its verdicts, and when it is up to date."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cleaner.config import RunOptions, VerifySettings
from cleaner.dataset.workspace import Workspace
from cleaner.errors import UsageError
from cleaner.report.build import write_report
from cleaner.stages.verify import run_verify
from tests.support.backbones import SMALL
from tests.support.program import Program
from tests.support.verified import CLASSES, PER_CLASS_VAL, true_class, verify, write_cleaned


def wrong_rows(work: Workspace) -> np.ndarray:
    manifest = work.read("scan")
    wrong: np.ndarray = manifest["label"].to_numpy() != true_class(manifest)
    return wrong


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


def test_it_is_up_to_date_until_something_changes_and_a_kill_costs_no_finished_fit(
    work: Workspace, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cleaner.modeling.probe import ProbeLearner

    path = write_cleaned(work, wrong_rows(work))
    first = verify(work, planted, path)
    settings = VerifySettings(embedding=SMALL, val=str(planted / "val"))
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
