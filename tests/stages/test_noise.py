"""The noise stage on real files."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from cleaner.config import EmbeddingSettings, LabelsSettings, NoiseSettings, RunOptions, ScanSettings
from cleaner.dataset.decision_files import import_decisions
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.manifest import read_manifest, write_manifest
from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.neighbours import find_neighbours
from cleaner.errors import BackboneError, BadInputError, StaleStageError
from cleaner.progress import Silent
from cleaner.scoring.noise_evidence import REASONS
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
from tests.support.backbones import SMALL
from tests.support.places import SAMPLE


class Heard(Silent):
    """Remembers warnings and lines."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.lines: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def say(self, message: str) -> None:
        self.lines.append(message)


def noise_of(workspace: Path) -> pd.DataFrame:
    return pd.read_parquet(workspace / "noise" / "manifest.parquet").set_index("file_name")


def write_seeds(path: Path, rows: list[tuple[str, str]]) -> str:
    pd.DataFrame(rows, columns=["file_name", "is_noise"]).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("case", ["one kind", "unknown", "contradiction", "dropped by scan", "absent"])
def test_seeds_that_cannot_be_used_are_named(small_copy: Path, tmp_path: Path, case: str) -> None:
    manifest = noise_of(small_copy)
    names = manifest.index[manifest["keep"]].tolist()
    rows, message = {
        "one kind": ([(names[0], "true")], "no seed that is normal"),
        "unknown": ([(names[0], "true"), ("cat/nobody.jpg", "false")], r"unknown file names"),
        "contradiction": (
            [(names[0], "true"), (names[0], "false"), (names[1], "false")],
            "both as noise and as normal",
        ),
        "dropped by scan": ([(names[0], "maybe"), (names[1], "false")], "neither true nor false"),
        "absent": ([], "no such seeds"),
    }[case]
    seeds = write_seeds(tmp_path / "s.csv", rows) if rows else str(tmp_path / "absent.csv")
    with pytest.raises(BadInputError, match=message) as refused:
        run_noise(Workspace(small_copy), NoiseSettings(embedding=SMALL, seeds=seeds), RunOptions())
    assert refused.value.exit_code == 3 and Path(seeds).name in str(refused.value)
    assert (small_copy / "noise" / "stage.json").exists(), "a refused run must not undo the one before"


def test_a_folder_of_seeds_says_the_same_as_a_table(small_copy: Path, small_images: Path, tmp_path: Path) -> None:
    by_table = noise_of(small_copy)
    table = pd.read_csv(small_images / "seeds.csv")
    for name, is_noise in zip(table["file_name"], table["is_noise"], strict=True):
        target = tmp_path / "seeds" / ("noise" if is_noise else "normal") / name.replace("/", "_")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(small_images / "images" / name, target)
    result = run_noise(
        Workspace(small_copy), NoiseSettings(embedding=SMALL, seeds=str(tmp_path / "seeds")), RunOptions(force=True)
    )
    assert result.record.notes["seeds"]["source"] == "file"
    pd.testing.assert_frame_equal(noise_of(small_copy), by_table)


def test_seeds_from_outside_the_images_teach_but_get_no_row(small_copy: Path, tmp_path: Path) -> None:
    before = noise_of(small_copy)
    planted_rows = pd.read_csv(SAMPLE / "truth.csv", dtype=str, keep_default_na=False)
    elsewhere = planted_rows[~planted_rows["file_name"].isin(before.index) & (planted_rows["fault"] == "")]
    for kind, rows in (
        ("noise", elsewhere[elsewhere["is_noise_image"] == "true"]),
        ("normal", elsewhere[(elsewhere["is_noise_image"] == "false") & (elsewhere["quality"] == "")].iloc[::8]),
    ):
        (tmp_path / "seeds" / kind).mkdir(parents=True)
        for name in rows["file_name"].iloc[:40]:
            shutil.copyfile(SAMPLE / "images" / name, tmp_path / "seeds" / kind / name.replace("/", "_"))
    run_noise(Workspace(small_copy), NoiseSettings(embedding=SMALL, seeds=str(tmp_path / "seeds")), RunOptions())
    after = noise_of(small_copy)
    assert after.index.equals(before.index)
    assert set(after.loc[after["drop_stage"] != "scan", "noise_evidence"]) == {"model"}
    is_noise = planted_rows.set_index("file_name")["is_noise_image"].reindex(after.index) == "true"
    assert after["is_noise"][is_noise].mean() >= 0.9 and is_noise[after["is_noise"]].mean() >= 0.9


def test_a_cold_start_warns_and_marks_what_it_did(small_copy: Path) -> None:
    heard = Heard()
    result = run_noise(Workspace(small_copy), NoiseSettings(embedding=SMALL), RunOptions(progress=heard))
    assert any("cold start" in warning and "--seeds" in warning for warning in heard.warnings)
    assert any("uncalibrated" in warning for warning in result.warnings)
    assert result.record.notes["calibration"] == "uncalibrated"
    assert result.record.notes["seeds"] == {"source": "auto", "noise": 0, "normal": 0}
    after = noise_of(small_copy)
    assert set(after.loc[after["drop_stage"] != "scan", "noise_evidence"]) == {"model"}
    assert not (after["noise_round"] == 0).any()


def test_the_stages_run_on_one_view(small_copy: Path) -> None:
    once = SMALL.replace(views=1)
    result = run_noise(Workspace(small_copy), NoiseSettings(embedding=once), RunOptions(force=True))
    assert result.record.backbone["views"] == 1
    run_labels(Workspace(small_copy), LabelsSettings(embedding=once), RunOptions())
    rows = read_manifest(Workspace(small_copy).manifest_path("labels"))
    judged = rows[rows["given_rank"] >= 0]
    assert len(judged) and judged["label_issue_prob"].between(0, 1).all()
    key = str(judged["image_id"].iloc[0])
    near = find_neighbours(small_copy / "cache", [key], 3)
    assert len(near) == 3 and all(-1 <= cosine <= 1.001 and other != key for other, cosine in near)


@pytest.mark.parametrize(("verdict", "absent"), [("normal", "noise"), ("noise", "normal")])
def test_decisions_of_one_kind_say_which_seeds_are_missing(small_copy: Path, verdict: str, absent: str) -> None:
    before = noise_of(small_copy)
    alone = before.index[before["keep"] & (before["duplicate_group"] < 0)][0]
    (small_copy / "said.csv").write_text(f"file_name,verdict\n{alone},{verdict}\n")
    scan = pd.read_parquet(small_copy / "scan" / "manifest.parquet")
    import_decisions(small_copy / "said.csv", DecisionStore(small_copy / "decisions.sqlite"), scan)
    heard = Heard()
    result = run_noise(Workspace(small_copy), NoiseSettings(embedding=SMALL), RunOptions(progress=heard))
    assert any(f"no {absent} seeds (only 1 {verdict} seed from decisions)" in w for w in heard.warnings)
    assert result.record.notes["seeds"]["source"] == "auto"


def test_few_seeds_count_as_uncalibrated(small_run: Path) -> None:
    record = Workspace(small_run).record("noise")
    assert record is not None and record.notes["calibration"] == "uncalibrated"


def test_what_speaks_for_noise_is_named_where_noise_is_probable(small_run: Path) -> None:
    manifest = noise_of(small_run)
    probable = manifest["noise_prob"] > 0.5
    assert probable.any()
    assert set(manifest.loc[probable, "noise_reason"]) <= set(REASONS)
    assert (manifest.loc[~probable, "noise_reason"] == "").all()


def test_rounds_hold_every_image_above_one_half_in_any_round(small_run: Path) -> None:
    rounds = pd.read_parquet(small_run / "noise" / "rounds.parquet")
    record = Workspace(small_run).record("noise")
    assert record is not None
    assert sorted(set(rounds["round"])) == [r["round"] for r in record.notes["rounds"]]
    assert (rounds.groupby("file_name")["noise_prob"].max() > 0.5).all()
    after = noise_of(small_run)
    found = rounds[rounds["found"]].groupby("file_name")["round"].min()
    assert (after.loc[found.index, "noise_round"] == found).all()
    assert set(after.index[after["noise_round"] > 0]) == set(found.index)


def test_a_stage_that_is_up_to_date_does_nothing(small_copy: Path, small_images: Path) -> None:
    settings = NoiseSettings(embedding=SMALL, seeds=str(small_images / "seeds.csv"))
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (small_copy / "noise").iterdir()}
    assert run_noise(Workspace(small_copy), settings, RunOptions(workers=1)).was_current
    assert run_labels(Workspace(small_copy), LabelsSettings(embedding=SMALL), RunOptions(workers=2)).was_current
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (small_copy / "noise").iterdir()}
    changed = dataclasses.replace(settings, threshold=0.8)
    assert not run_noise(Workspace(small_copy), changed, RunOptions()).was_current


def test_a_stale_parent_names_the_command(small_copy: Path, small_images: Path) -> None:
    workspace = Workspace(small_copy)
    run_scan(workspace, small_images / "images", ScanSettings(near_radius=0), RunOptions(workers=1))
    with pytest.raises(StaleStageError, match=r"noise/manifest\.parquet is stale: scan has run since") as stale:
        run_labels(workspace, LabelsSettings(embedding=SMALL), RunOptions())
    assert stale.value.exit_code == 3 and "cleaner noise" in stale.value.next_step
    (small_copy / "scan" / "stage.json").unlink()
    with pytest.raises(StaleStageError, match="scan was interrupted") as stale:
        run_noise(workspace, NoiseSettings(embedding=SMALL), RunOptions())
    assert "cleaner scan" in stale.value.next_step
    with pytest.raises(StaleStageError, match="no manifest for noise to read") as stale:
        run_noise(Workspace(small_copy / "elsewhere"), NoiseSettings(embedding=SMALL), RunOptions())
    assert "cleaner scan IMAGES" in stale.value.next_step


def test_any_other_manifest_can_be_read(small_copy: Path, small_images: Path, tmp_path: Path) -> None:
    """`--from FILE`: half of the scan's rows, beside no record."""
    scan = read_manifest(small_copy / "scan" / "manifest.parquet")
    write_manifest(tmp_path / "half.parquet", scan.iloc[::2], stage="scan", parent_sha256="")
    seeds = pd.read_csv(small_images / "seeds.csv")
    part = seeds[seeds["file_name"].isin(scan["file_name"].iloc[::2])]
    part.to_csv(tmp_path / "seeds.csv", index=False)
    settings = NoiseSettings(embedding=SMALL, seeds=str(tmp_path / "seeds.csv"))
    run_noise(Workspace(small_copy), settings, RunOptions(), from_file=tmp_path / "half.parquet")
    assert noise_of(small_copy).index.tolist() == scan["file_name"].iloc[::2].tolist()
    record = Workspace(small_copy).record("noise")
    assert record is not None and record.inputs[0].file.endswith("half.parquet")
    with pytest.raises(BadInputError, match="not a readable manifest"):
        (tmp_path / "bad.parquet").write_bytes(b"PAR1")
        run_noise(Workspace(small_copy), settings, RunOptions(), from_file=tmp_path / "bad.parquet")


def test_bad_weights_and_backbones_leave_the_stage_as_it_was(small_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"nothing")
    for embedding, error, words in (
        (
            SMALL.replace(weights=str(tmp_path / "w.pth")),
            BadInputError,
            "not a readable weights file",
        ),
        (
            SMALL.replace(weights=str(tmp_path / "absent.pth")),
            BadInputError,
            "no such weights file",
        ),
        (EmbeddingSettings(backbone="no_such_net"), BackboneError, "embedded default"),
    ):
        with pytest.raises(error, match=words):
            run_noise(Workspace(small_copy), NoiseSettings(embedding=embedding), RunOptions())
    assert (small_copy / "noise" / "stage.json").exists()


@pytest.fixture(scope="module")
def split_images(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_images` dealt to `train/` and `val/`; the first train image has an exact copy in val."""
    root = tmp_path_factory.mktemp("splits")
    names = sorted(p.relative_to(small_images / "images").as_posix() for p in (small_images / "images").rglob("*.*"))
    for number, name in enumerate(names):
        target = root / ("val" if number % 3 == 1 else "train") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(small_images / "images" / name, target)
    shutil.copyfile(root / "train" / names[0], root / "val" / names[0])
    return root


def test_rows_of_other_splits_are_scored_and_never_dropped_unless_asked_for(
    split_images: Path, small_run: Path, small_images: Path, tmp_path: Path
) -> None:
    from cleaner.config import BalanceSettings
    from cleaner.stages.balance import run_balance

    shutil.copytree(small_run / "cache", tmp_path / "cache")
    workspace, options = Workspace(tmp_path), RunOptions(workers=1)
    result = run_scan(workspace, split_images, ScanSettings(), options)
    assert result.record.counts["cross_split_copies"] >= 2
    scan = pd.read_parquet(tmp_path / "scan" / "manifest.parquet").set_index("file_name")
    assert set(scan["split"]) == {"train", "val"} and not scan.loc[scan["split"] == "val", "drop_stage"].any()
    seeds = pd.read_csv(small_images / "seeds.csv", dtype=str)
    by_name = {name.split("/", 1)[1]: name for name in scan.index[::-1]}
    seeds["file_name"] = seeds["file_name"].map(by_name)
    seeds.to_csv(tmp_path / "seeds.csv", index=False)
    run_noise(workspace, NoiseSettings(embedding=SMALL, seeds=str(tmp_path / "seeds.csv")), options)
    run_labels(workspace, LabelsSettings(embedding=SMALL, top_k=(1,), max_rounds=1), options)
    run_balance(workspace, BalanceSettings(embedding=SMALL, low_count="keep", floor=1.0), options)
    last = pd.read_parquet(tmp_path / "balance" / "manifest.parquet").set_index("file_name")
    val = last[last["split"] == "val"]
    assert val["noise_prob"].notna().all() and val["is_noise"].any()
    assert val["keep"].all() and (val["fold"] == -1).all() and (val["repeats"] == 1).all()
    assert (val["clean_label"] == val["label"]).all() and (val["label_issue"] == "").all()
    assert (last.loc[last["split"] == "train", "repeats"] > 1).any()
    # the copy in the other split stays, beside the one in train
    copies = last[last["image_id"] == last["image_id"].iloc[0]]
    assert set(copies["split"]) == {"train", "val"}
    run_noise(
        workspace, NoiseSettings(embedding=SMALL, seeds=str(tmp_path / "seeds.csv"), clean_split=("val",)), options
    )
    asked = noise_of(tmp_path)
    lost = asked[(asked["split"] == "val") & ~asked["keep"]]
    assert len(lost) and set(lost["drop_reason"]) == {"noise_image"} and lost["is_noise"].all()


def test_an_image_that_changed_since_the_scan_is_not_taken_for_the_old_one(
    small_images: Path, small_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_images / "images", tmp_path / "images")
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, tmp_path / "images", ScanSettings(), RunOptions(workers=1))
    before = pd.read_parquet(tmp_path / "work" / "scan" / "manifest.parquet").set_index("file_name")["image_id"]
    one, other = before.index[0], before.index[1]
    (tmp_path / "images" / one).write_bytes((tmp_path / "images" / other).read_bytes())
    run_scan(workspace, tmp_path / "images", ScanSettings(), RunOptions(workers=1))
    after = pd.read_parquet(tmp_path / "work" / "scan" / "manifest.parquet").set_index("file_name")["image_id"]
    assert after[one] == before[other] == hashlib.sha256((tmp_path / "images" / other).read_bytes()).hexdigest()
