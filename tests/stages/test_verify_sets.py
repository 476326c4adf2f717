"""The sets that `verify` trains on, and the held-out images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleaner.audit.draw import open_audit
from cleaner.config import RunOptions, ScanSettings, VerifySettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import Event
from cleaner.dataset.manifest import drop_rows, read_manifest, write_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError
from cleaner.stages.scan import run_scan
from cleaner.stages.stage_run import StageRun
from cleaner.stages.verify import run_verify
from cleaner.stages.verify_sets import cleaned_set, find_test_images, listed_set, raw_set
from tests.support.backbones import SMALL
from tests.support.verified import CLASSES, PER_CLASS_VAL, true_class, verify, write_cleaned


def test_clean_labels_and_repeats_count(work: Workspace, planted: Path) -> None:
    manifest = work.read("scan")
    nothing = np.zeros(len(manifest), bool)
    mended = verify(work, planted, write_cleaned(work, nothing, clean_label=true_class(manifest)))
    assert mended["verdict"] == "helped"
    few = np.where(manifest["label"] == "ant", 20, 1).astype(np.int32)
    path = write_cleaned(work, nothing, repeats=few, class_size=np.int32(1), class_action="keep")
    weights = cleaned_set(read_manifest(path)).weights
    assert weights.tolist() == few.tolist()


def test_copies_unknown_classes_and_damaged_files_are_left_out_with_a_warning(
    work: Workspace, planted: Path, tmp_path: Path
) -> None:
    val = tmp_path / "val"
    shutil.copytree(planted / "val", val)
    shutil.copytree(val / "ant", val / "gnu")  # the copies within val are no copies of training images
    shutil.copyfile(next((planted / "images" / "bee").iterdir()), val / "bee" / "seen.png")
    (val / "bee" / "empty.png").touch()
    run_verify(work, VerifySettings(embedding=SMALL, val=str(val), num_seeds=2), RunOptions(workers=1))
    done = json.loads((work.root / "verify" / "verify.json").read_text())
    assert done["test"]["images"] == len(CLASSES) * PER_CLASS_VAL
    said = "\n".join(done["warnings"])
    assert (
        "1 images below" in said
        and "1 files below" in said
        and f"{PER_CLASS_VAL} test images are of classes that no set has" in said
    )
    with pytest.raises(BadInputError, match="no such folder"):
        run_verify(work, VerifySettings(embedding=SMALL, val=str(tmp_path / "absent")), RunOptions())
    shutil.rmtree(val / "ant")
    run_verify(work, VerifySettings(embedding=SMALL, val=str(val), num_seeds=2), RunOptions(workers=1))
    assert "1 classes have no test image" in (work.root / "verify" / "verify.json").read_text()


def test_without_held_out_images_it_says_how_to_come_by_them(work: Workspace) -> None:
    with pytest.raises(BadInputError, match="too few held-out images") as error:
        run_verify(work, VerifySettings(embedding=SMALL), RunOptions())
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
    sample, _ = open_audit(work, "scan", num_kept=30, num_dropped=20, goal=0.01, seed=0)
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
    test = find_test_images(StageRun.open(work, "verify", VerifySettings(embedding=SMALL), RunOptions()), manifest)
    drawn_junk = sample.rows["image_id"].isin(junk)
    assert test.kind == "audit" and len(test.images) == 50
    assert (test.images["label"] == "").sum() == drawn_junk.sum() > 0
    stands_for = test.images.groupby("stratum")["weight"].sum()
    assert stands_for.to_dict() == pytest.approx({"kept": (~wrong).sum(), "label_issue_fine": wrong.sum()})
    held_out = set(sample.rows.loc[~drawn_junk, "file_name"])
    assert set(manifest.loc[test.held_out, "file_name"]) == held_out
    run_verify(work, VerifySettings(embedding=SMALL, num_seeds=2), RunOptions(workers=1))
    done = json.loads((work.root / "verify" / "verify.json").read_text())
    assert done["sets"][0]["images"] == len(manifest) - len(held_out)
    assert done["test"]["images"] == len(held_out) and done["test"]["kind"] == "audit"


def test_a_held_out_split_is_used_with_a_warning(tmp_path: Path, planted: Path) -> None:
    shutil.copytree(planted / "images", tmp_path / "all" / "train")
    shutil.copytree(planted / "val", tmp_path / "all" / "val")
    work = Workspace(tmp_path / "work")
    shutil.copytree(planted / "work" / "cache", work.cache)
    run_scan(work, tmp_path / "all", ScanSettings(near_radius=0), RunOptions(workers=1))
    run_verify(work, VerifySettings(embedding=SMALL, num_seeds=2), RunOptions(workers=1))
    done = json.loads((work.root / "verify" / "verify.json").read_text())
    assert done["test"]["noisy_labels"] and done["test"]["images"] == len(CLASSES) * PER_CLASS_VAL
    assert "as given" in done["warnings"][0] and "audit" in done["warnings"][0]


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
