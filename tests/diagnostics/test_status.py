"""The state of a workspace: what is stale and why, what waits for people, the next command."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from cleaner.config import Config, RunOptions, ScanSettings
from cleaner.config_sources import read_config
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.lineage import why_stale
from cleaner.dataset.stage_inputs import STAGES
from cleaner.dataset.staleness import RunRequest, find_inputs, why_run
from cleaner.dataset.verdicts import read_verdicts
from cleaner.dataset.workspace import Input, Workspace
from cleaner.diagnostics.status import Status, read_status
from cleaner.stages.scan import run_scan
from tests.support.places import REPO
from tests.support.program import draw_set, load_script, tree_digest

scale = load_script(REPO / "benchmarks" / "table_scale.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic workspace of 2,000 rows, all stages current."""
    root = tmp_path_factory.mktemp("made") / "work"
    scale.synthesise(root, 2000, 40)
    return root


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work"))


def look(root: Path, config: Config | None = None) -> Status:
    return read_status(Workspace(root), config or Config(), check_images=False, num_examples=2)


def states(status: Status) -> dict[str, str]:
    return {s.stage: s.state for s in status.stages}


def stale_from(first: str) -> dict[str, str]:
    """The states when `first` and all stages after it are stale."""
    return {s: "complete" if STAGES.index(s) < STAGES.index(first) else "stale" for s in STAGES}


def edit_record(root: Path, stage: str, **values: object) -> None:
    path = root / stage / "stage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_all_current(work: Path) -> None:
    before = tree_digest(work)
    found = look(work)
    assert set(states(found).values()) == {"complete"}
    assert found.next_command == "export --to folder OUT"
    assert [s.counts["rows"] for s in found.stages] == [2000] * 4
    assert tree_digest(work) == before


def test_what_waits_for_people_is_what_nobody_decided(work: Path) -> None:
    manifest = Workspace(work).manifest("labels")
    decided = set(DecisionStore(work / "decisions.sqlite").image_verdicts().index)
    open_rows = ~manifest["image_id"].isin(decided)
    waiting = {w.command: w for w in look(work).waiting}
    kept_issues = manifest["keep"] & (manifest["label_issue"] != "") & open_rows
    assert waiting["review labels"].num == kept_issues.sum() > 0
    assert waiting["review labels"].examples == manifest.loc[kept_issues, "file_name"].head(2).tolist()
    assert waiting["review conflicts"].num == (manifest["label_conflict"] & open_rows).sum() > 0
    assert waiting["review low-count"].examples == ["class_0001", "class_0002"]
    assert waiting["review disagreements"].num == 20
    DecisionStore(work / "decisions.sqlite").add("class", "class_0001", "keep")
    assert {w.command: w.num for w in look(work).waiting}["review low-count"] == 1


def test_a_setting_of_the_file_makes_its_stage_and_those_after_it_stale(work: Path) -> None:
    (work / "cleaner.toml").write_text("[labels]\nfolds = 7\n")
    found = look(work, read_config(work / "cleaner.toml"))
    assert states(found) == stale_from("labels")
    assert found.stages[2].why == "setting folds: 5 became 7"
    assert found.stages[3].why == "labels runs before it"
    assert found.next_command == "labels"


def test_a_setting_of_the_command_line_counts_as_it_was_and_is_repeated(work: Path) -> None:
    record = json.loads((work / "noise" / "stage.json").read_text())
    edit_record(work, "noise", settings=record["settings"] | {"threshold": 0.8}, command_line=["threshold"], seed=3)
    found = look(work)
    assert states(found)["noise"] == "complete"
    assert found.stages[1].command == "noise --threshold 0.8 --seed 3"
    edit_record(work, "noise", command_line=[])
    assert look(work).stages[1].why == "setting threshold: 0.8 became 0.9"


def test_decisions_make_stale_the_stages_that_use_them(work: Path) -> None:
    manifest = Workspace(work).manifest("labels")
    store = DecisionStore(work / "decisions.sqlite")
    good = manifest[(manifest["noise_prob"] < 0.4) & ~manifest["image_id"].isin(store.image_verdicts().index)]
    store.add("image", good["image_id"].iloc[0], "label", label="class_0003")
    found = look(work)
    assert states(found) == stale_from("labels")
    assert found.stages[2].why == "people decided more since"
    store.add("image", good["image_id"].iloc[1], "normal")
    assert states(look(work))["noise"] == "stale"


def test_damage_and_interruption(work: Path) -> None:
    manifest = work / "noise" / "manifest.parquet"
    manifest.write_bytes(manifest.read_bytes()[:-8] + b"!" * 8)
    found = look(work)
    assert found.stages[1].why == "manifest.parquet is not what was written"
    (work / "noise" / "stage.json").unlink()
    found = look(work)
    assert (found.stages[1].state, found.next_command) == ("interrupted", "noise")


def test_a_digest_is_taken_again_when_size_or_time_differ(work: Path) -> None:
    place = Workspace(work)
    assert why_stale(place, "balance") == ""
    os.utime(work / "scan" / "manifest.parquet", ns=(1, 1))
    assert why_stale(Workspace(work), "balance") == ""  # hashed anew, and still what was written
    shutil.rmtree(work / "cache")
    assert why_stale(Workspace(work), "balance") == ""
    (work / "cache").mkdir()
    (work / "cache" / "digests.json").write_text("[nonsense")
    assert why_stale(Workspace(work), "balance") == ""


def scanned(folder: Path) -> Workspace:
    workspace = Workspace(folder / "work")
    folder.mkdir(exist_ok=True)
    (folder / "labels.csv").write_text(
        "file_name,label\n" + "".join(f"{c}/{i}.png,{c}\n" for c in ("cat", "dog") for i in range(3))
    )
    run_scan(workspace, draw_set(folder / "images"), ScanSettings(labels_file=str(folder / "labels.csv")), RunOptions())
    return workspace


def test_images_and_lists_that_changed(tmp_path: Path) -> None:
    workspace = scanned(tmp_path)
    edit_record(workspace.root, "scan", created_utc="2030-01-01T00:00:00+00:00")
    assert read_status(workspace, Config()).stages[0].state == "complete"
    (tmp_path / "images" / "cat" / "0.png").unlink()
    assert "changed: images" in read_status(workspace, Config()).stages[0].why
    assert read_status(workspace, Config(), check_images=False).stages[0].state == "complete"
    (tmp_path / "labels.csv").write_text("file_name,label\ncat/1.png,cat\n")
    edit_record(workspace.root, "scan", created_utc="2020-01-01T00:00:00+00:00")
    assert "changed: labels" in read_status(workspace, Config(), check_images=False).stages[0].why


def test_a_moved_workspace_and_list_are_not_stale(tmp_path: Path) -> None:
    before = scanned(tmp_path / "a").record("scan")
    assert before is not None
    shutil.move(tmp_path / "a", tmp_path / "b")
    workspace, settings = (
        Workspace(tmp_path / "b" / "work"),
        ScanSettings(labels_file=str(tmp_path / "b" / "labels.csv")),
    )
    images = before.find_input("images")
    assert images is not None

    def why(images: Input) -> str:
        verdicts = read_verdicts(workspace)
        run = RunRequest(stage="scan", settings=settings, seed=0, parent=None, verdicts=verdicts, others=(images,))
        return why_run(workspace, run, find_inputs(workspace, run))

    assert why(images) == ""
    assert "images root" in why(dataclasses.replace(images, file=str(tmp_path / "b" / "images")))
