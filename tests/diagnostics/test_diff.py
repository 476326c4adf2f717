"""What `compare` finds between two results, and how the command shows it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.manifest import write_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.diff import Change, ClassChange, SettingChange, compare
from cleaner.errors import BadInputError
from tests.support.audited import make_rows
from tests.support.program import Program, draw_set
from tests.support.records import record_of

SIZES = {"": 60, "noise_image": 9, "unreadable": 4}


def write_run(root: Path, rows: pd.DataFrame, **settings: object) -> Path:
    """A workspace in which scan and noise ran, noise with `settings`."""
    place = Workspace(root)
    for stage in ("scan", "noise"):
        folder = place.begin(stage)
        write_manifest(folder / "manifest.parquet", rows, stage=stage, parent_sha256="")
        place.write_record(record_of(stage, settings=settings if stage == "noise" else {}), ["manifest.parquet"])
    return root


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Five noise images fewer, two more of another kind, one label mended, one file gone, one new, one edited."""
    before = make_rows(SIZES)
    after = before.copy()
    back = after.index[after["drop_reason"] == "noise_image"][:5]
    after.loc[back, ["keep", "drop_stage", "drop_reason"]] = [True, "", ""]
    out = after.index[:2]
    after.loc[out, ["keep", "drop_stage", "drop_reason"]] = [False, "noise", "noise_image"]
    after.loc[10, "clean_label"] = "another"
    after.loc[20, "image_id"] = "f" * 64
    after = pd.concat([after.drop(index=30), after.tail(1).assign(file_name="zz_new.jpg")], ignore_index=True)
    one = write_run(tmp_path / "a", before, threshold=0.9, rounds=3)
    return one, write_run(tmp_path / "b", after, threshold=0.95, rounds=3)


def test_every_change_is_counted_once_with_its_reason(runs: tuple[Path, Path]) -> None:
    found = compare(*runs, num_examples=2)
    assert found.fates == [
        Change("noise_image", "kept", 5, ["noise_image_0000.jpg", "noise_image_0001.jpg"]),
        Change("kept", "noise_image", 2, ["kept_0000.jpg", "kept_0001.jpg"]),
    ]
    assert found.labels == [Change("class3", "another", 1, ["kept_0010.jpg"])]
    assert (found.only_a, found.only_b, found.content_changed) == (1, 1, 1)
    assert found.num_changed == 8
    assert found.settings == [SettingChange("noise", "threshold", 0.9, 0.95)]
    assert sum(c.changed for c in found.classes) == 8
    assert found.classes[0] == max(found.classes, key=lambda c: c.changed)
    rows = found.images.set_index("file_name")
    assert rows.loc["zz_new.jpg", ["a", "b"]].tolist() == ["", "unreadable"]
    assert rows.loc["kept_0030.jpg", ["a", "b"]].tolist() == ["kept", ""]
    assert len(rows) == 10


def test_a_result_does_not_differ_from_itself(runs: tuple[Path, Path]) -> None:
    found = compare(runs[0], runs[0] / "noise" / "manifest.parquet")
    assert (found.num_changed, found.fates, found.labels, found.settings, found.classes) == (0, [], [], [], [])
    assert found.b.stage == "noise"


def test_a_class_names_what_it_keeps(runs: tuple[Path, Path]) -> None:
    found = {c.label: c for c in compare(*runs).classes}
    assert found["class0"] == ClassChange("class0", 11, 2, 9, 9)  # one in, one out


def test_what_is_no_result_is_named(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    (tmp_path / "empty").mkdir()
    for bad, words in (("absent", "no such"), ("empty", "no stage has run")):
        with pytest.raises(BadInputError, match=words):
            compare(tmp_path / bad, runs[1])


def test_on_the_command_line(program: Program, tmp_path: Path, runs: tuple[Path, Path]) -> None:
    page, table = tmp_path / "diff.html", tmp_path / "diff.csv"
    shown = program("diff", *runs, "--out", page)
    assert shown.exit_code == 0 and "noise_image -> kept" in shown.out, shown.err
    assert "noise.threshold: 0.9 in A, 0.95 in B" in shown.out and "8 images are kept" in shown.out
    text = page.read_text()
    assert "noise_image_0004.jpg" in text.replace("<wbr>", "") and "http:" not in text and "https:" not in text
    document = program("diff", *runs, "--json", "--out", table).document("diff")
    assert document["changed"] == 8 and len(pd.read_csv(table)) == 10
    assert program("diff", runs[0], tmp_path / "absent").exit_code == 3


def test_runs_over_other_names_are_not_called_alike(program: Program, tmp_path: Path) -> None:
    draw_set(tmp_path / "set" / "train")
    for work, root in (("a", tmp_path / "set" / "train"), ("b", tmp_path / "set")):
        assert program("scan", root, "-C", tmp_path / work).exit_code == 0
    shown = program("diff", tmp_path / "a", tmp_path / "b")
    assert "no file name is in both, so nothing is compared" in shown.out and "labelled otherwise" not in shown.out
