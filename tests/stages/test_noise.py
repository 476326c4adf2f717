"""Noise images: the rounds on made-up features with planted noise, and the stage on real files."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
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
from cleaner.scoring import noise_rounds
from cleaner.scoring.noise_posterior import NoisePosterior, compute_noise_posterior
from cleaner.scoring.noise_rounds import NoiseResult, NoiseSeeds, pick_cold_seeds, run_rounds
from cleaner.stages.labels.run import run_labels
from cleaner.stages.noise import run_noise
from cleaner.stages.scan import run_scan
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


# --- probabilities and the share of noise -----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.4])
def test_the_share_of_noise_is_recovered_from_scores(share: float) -> None:
    rng = np.random.default_rng(0)
    num = 40_000
    is_noise = rng.random(num) < share
    scores = rng.normal(np.where(is_noise, 6.0, 0.0), np.where(is_noise, 1.5, 1.0))
    noise_seeds, normal_seeds = np.zeros(num, bool), np.zeros(num, bool)
    noise_seeds[np.flatnonzero(is_noise)[:50]] = True
    normal_seeds[np.flatnonzero(~is_noise)[:150]] = True
    posterior = compute_noise_posterior(scores, noise_seeds, normal_seeds, np.ones(num, bool))
    assert posterior.prior == pytest.approx(share, rel=0.15)
    # a probability means what it says: of the images at about p, a share p is noise
    for low, high in ((0.0, 0.1), (0.3, 0.7), (0.9, 1.0)):
        band = (posterior.probs >= low) & (posterior.probs <= high) & ~noise_seeds & ~normal_seeds
        if band.sum() >= 100:
            assert is_noise[band].mean() == pytest.approx(posterior.probs[band].mean(), abs=0.15)


def test_probabilities_rise_with_the_score() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 900), rng.normal(8, 0.2, 100), np.linspace(-20, 40, 200)])
    seeds = np.zeros(1200, bool)
    seeds[900:930] = True
    posterior = compute_noise_posterior(scores, seeds, np.arange(1200) < 50, np.arange(1200) < 1000)
    order = np.argsort(scores)
    middle = scores[order] > np.median(scores)
    assert (np.diff(posterior.probs[order][middle]) >= -1e-6).all() and 0 < posterior.prior < 1


def test_seeds_that_all_lie_far_out_outvote_odd_images_halfway() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1.5, 1360), rng.normal(5.9, 0.5, 15), rng.normal(10, 0.7, 100)])
    seeds, none = np.arange(1475) >= 1425, np.zeros(1475, bool)
    probs = compute_noise_posterior(scores, seeds, none, ~none).probs
    assert (probs[1360:1375] > 0.9).sum() <= 2 and (probs[1375:] > 0.9).all()


def test_a_long_tail_below_hides_no_noise_above() -> None:
    upper = np.abs(np.random.default_rng(0).normal(0, 1, 10_000))
    found = []
    for spread in (1, 4):
        below = -np.abs(np.random.default_rng(1).normal(0, spread, 10_000))
        scores = np.concatenate([upper, below, np.random.default_rng(2).normal(6, 1, 300)])
        seeds, none = np.arange(20_300) >= 20_270, np.zeros(20_300, bool)
        probs = compute_noise_posterior(scores, seeds, none, ~none).probs
        found.append((probs[20_000:] > 0.9).mean())
    assert found[1] >= 0.9 and found[1] == pytest.approx(found[0], abs=0.02)


# --- the rounds -------------------------------------------------------------------------------------------------------

NUM, NUM_NOISE = 1200, 120
ROWS = np.arange(NUM, dtype=np.float32)[:, None]


def planted(seed: int = 0, distance: float = 9.0) -> tuple[np.ndarray, np.ndarray]:
    """Features (NUM, 16) and which rows are noise: the first NUM_NOISE, in two clusters."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(NUM, 16))
    is_noise = np.arange(NUM) < NUM_NOISE
    x[is_noise, 0] += distance
    x[: NUM_NOISE // 2, 1] += distance
    return x.astype(np.float32), is_noise


def seeds_of(noise: list[int], normal: list[int], *, human: bool = True) -> NoiseSeeds:
    is_seed, is_noise = np.zeros(NUM, bool), np.zeros(NUM, bool)
    is_seed[noise + normal] = True
    is_noise[noise] = True
    return NoiseSeeds(is_seed, is_noise, is_seed.copy() if human else np.zeros(NUM, bool))


def run(x: np.ndarray, seeds: NoiseSeeds, countable: np.ndarray | None = None, max_rounds: int = 10) -> NoiseResult:
    return run_rounds(
        [lambda rows: x[rows]],
        np.full((len(x), 2), np.nan, np.float32),
        seeds,
        np.ones(len(x), bool) if countable is None else countable,
        threshold=0.9,
        max_rounds=max_rounds,
        rng=np.random.default_rng(0),
        on_round=lambda _: None,
    )


def test_planted_noise_is_found_and_the_rounds_end_by_themselves() -> None:
    x, is_noise = planted()
    seeds = seeds_of(list(range(0, 120, 6)), list(range(120, 1200, 12)))
    result = run(x, seeds)
    assert result.stopped in ("stable", "repeats") and len(result.rounds) < 10
    last = result.rounds[-1]
    free = ~seeds.is_seed
    assert last.found[is_noise & free].mean() >= 0.95 and not last.found[seeds.is_seed].any()
    assert is_noise[last.found].mean() >= 0.95
    assert last.prior == pytest.approx(0.1, abs=0.03)
    counts = [int(r.found.sum()) for r in result.rounds]
    before = [0, *counts]
    assert [r.num_new - r.num_left for r in result.rounds] == [b - a for a, b in zip(before, counts, strict=False)]


def test_rows_that_do_not_count_are_scored_but_never_found() -> None:
    x, is_noise = planted()
    countable = np.arange(NUM) % 2 == 0
    result = run(x, seeds_of(list(range(0, 120, 6)), list(range(120, 1200, 12))), countable)
    last = result.rounds[-1]
    assert not last.found[~countable].any() and (last.noise_prob[is_noise & ~countable] > 0.5).mean() > 0.9


def scripted(monkeypatch: pytest.MonkeyPatch, above: Callable[[int], dict[int, float]]) -> list[list[int]]:
    """Let round n give the rows of `above(n)` their probability and all others 0.01.

    Returns the list that the rows which train as noise are put into, round by round.
    """
    trained: list[list[int]] = []
    num_judged = 0

    class Model:
        """Takes row numbers for features; the first model of each round learns from all rows that train."""

        def __init__(self, **_: object) -> None:
            pass

        def fit(self, rows: np.ndarray, is_noise: np.ndarray) -> Model:
            if len(trained) == num_judged:
                trained.append(rows[is_noise, 0].astype(int).tolist())
            return self

        def decision_function(self, rows: np.ndarray) -> np.ndarray:
            return np.zeros(len(rows))

    def judge(*_: object) -> NoisePosterior:
        nonlocal num_judged
        num_judged += 1
        probs = np.full(NUM, 0.01, np.float32)
        for row, prob in above(len(trained)).items():
            probs[row] = prob
        return NoisePosterior(probs, 0.1)

    monkeypatch.setattr(noise_rounds, "LogisticRegression", Model)
    monkeypatch.setattr(noise_rounds, "compute_noise_posterior", judge)
    return trained


def test_an_added_image_leaves_again_when_its_later_score_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = scripted(monkeypatch, lambda number: {50: 0.99 if number == 1 else 0.9, 51: 0.99})
    result = run(ROWS, seeds_of([0, 1], [200, 201]))
    first, second, *_ = result.rounds
    assert np.flatnonzero(first.found).tolist() == [50, 51] and (first.num_new, first.num_left) == (2, 0)
    assert np.flatnonzero(second.found).tolist() == [51] and (second.num_new, second.num_left) == (0, 1)
    assert trained == [[0, 1], [0, 1, 50, 51], [0, 1, 51]]
    assert result.stopped == "stable" and len(result.rounds) == 3


def test_rounds_that_go_in_a_circle_end_and_so_do_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = seeds_of([0, 1], [200, 201])

    def circle(number: int) -> dict[int, float]:
        return {50: 0.99, 51: 0.99} if number == 1 else {50 + number % 2: 0.99}

    scripted(monkeypatch, circle)
    result = run(ROWS, seeds, max_rounds=20)
    assert result.stopped == "repeats" and len(result.rounds) == 4
    # which image it would end with hangs on when one looks: neither was found in each round of the circle
    assert not result.rounds[-1].found.any() and (result.rounds[-1].noise_prob[50:52] <= 0.9).all()
    scripted(monkeypatch, circle)
    result = run(ROWS, seeds, max_rounds=2)
    assert result.stopped == "max_rounds" and len(result.rounds) == 2


def test_rounds_do_not_drift_to_what_the_seeds_speak_against(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, lambda number: {50: 0.99} if number == 1 else {50: 0.99, 60: 0.99})
    result = run(ROWS, seeds_of([0, 1], [200, 201]))
    assert all(np.flatnonzero(r.found).tolist() == [50] for r in result.rounds)
    assert result.rounds[-1].noise_prob[60] == pytest.approx(0.9)  # doubtful: for people


def test_a_persons_seed_keeps_its_kind_whatever_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = scripted(monkeypatch, lambda _: {200: 0.99})
    result = run(ROWS, seeds_of([0, 1], [200, 201]))
    assert not any(r.found.any() for r in result.rounds) and trained == [[0, 1]]


# --- the cold start ---------------------------------------------------------------------------------------------------


def test_cold_seeds_are_the_images_with_most_evidence() -> None:
    rng = np.random.default_rng(0)
    num = 4000
    looks, evidence, odd_mode = rng.normal(size=(num, 4)), rng.normal(size=(num, 2)), np.zeros(num, bool)
    suspicious = rng.choice(num, 60, replace=False)
    looks[suspicious, :3] += 4
    looks[::7, 2] = np.nan  # not every file says everything
    evidence[suspicious] -= 3
    odd_mode[suspicious[::2]] = True
    candidates = np.ones(num, bool)
    candidates[suspicious[:10]] = False
    seeds = pick_cold_seeds(looks, odd_mode, evidence, candidates, np.random.default_rng(1))
    noise, normal = np.flatnonzero(seeds.is_noise), np.flatnonzero(seeds.is_seed & ~seeds.is_noise)
    assert len(noise) >= 10 and np.isin(noise, suspicious[10:]).mean() >= 0.95 and not seeds.is_human.any()
    assert len(normal) >= 5 * len(noise) and not set(normal) & set(suspicious)


@pytest.mark.parametrize("num", [8, 41])
def test_cold_seeds_of_few_images_leave_normal_ones(num: int) -> None:
    rng = np.random.default_rng(0)
    seeds = pick_cold_seeds(
        rng.normal(size=(num, 4)), np.zeros(num, bool), rng.normal(size=(num, 2)), np.ones(num, bool), rng
    )
    assert 1 <= seeds.is_noise.sum() <= num // 4 and (seeds.is_seed & ~seeds.is_noise).sum() >= seeds.is_noise.sum()


# --- the stage --------------------------------------------------------------------------------------------------------


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
        "dropped by scan": ([(names[0], "maybe"), (names[1], "false")], "say neither"),
        "absent": ([], "no such seeds"),
    }[case]
    seeds = write_seeds(tmp_path / "s.csv", rows) if rows else str(tmp_path / "absent.csv")
    with pytest.raises(BadInputError, match=message) as refused:
        run_noise(Workspace(small_copy), NoiseSettings(seeds=seeds), RunOptions())
    assert refused.value.exit_code == 3 and Path(seeds).name in str(refused.value)
    assert (small_copy / "noise" / "stage.json").exists(), "a refused run must not undo the one before"


def test_a_folder_of_seeds_says_the_same_as_a_table(small_copy: Path, small_images: Path, tmp_path: Path) -> None:
    by_table = noise_of(small_copy)
    table = pd.read_csv(small_images / "seeds.csv")
    for name, is_noise in zip(table["file_name"], table["is_noise"], strict=True):
        target = tmp_path / "seeds" / ("noise" if is_noise else "normal") / name.replace("/", "_")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(small_images / "images" / name, target)
    result = run_noise(Workspace(small_copy), NoiseSettings(seeds=str(tmp_path / "seeds")), RunOptions(force=True))
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
    run_noise(Workspace(small_copy), NoiseSettings(seeds=str(tmp_path / "seeds")), RunOptions())
    after = noise_of(small_copy)
    assert after.index.equals(before.index)
    assert set(after.loc[after["drop_stage"] != "scan", "noise_evidence"]) == {"model"}
    is_noise = planted_rows.set_index("file_name")["is_noise_image"].reindex(after.index) == "true"
    assert after["is_noise"][is_noise].mean() >= 0.9 and is_noise[after["is_noise"]].mean() >= 0.9


def test_a_cold_start_warns_and_marks_what_it_did(small_copy: Path) -> None:
    heard = Heard()
    result = run_noise(Workspace(small_copy), NoiseSettings(), RunOptions(progress=heard))
    assert any("cold start" in warning and "--seeds" in warning for warning in heard.warnings)
    assert any("uncalibrated" in warning for warning in result.warnings)
    assert result.record.notes["calibration"] == "uncalibrated"
    assert result.record.notes["seeds"] == {"source": "auto", "noise": 0, "normal": 0}
    after = noise_of(small_copy)
    assert set(after.loc[after["drop_stage"] != "scan", "noise_evidence"]) == {"model"}
    assert not (after["noise_round"] == 0).any()


def test_the_stages_run_on_one_view(small_copy: Path) -> None:
    once = EmbeddingSettings(views=1)
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
    result = run_noise(Workspace(small_copy), NoiseSettings(), RunOptions(progress=heard))
    assert any(f"no {absent} seeds (only 1 {verdict} seed from decisions)" in w for w in heard.warnings)
    assert result.record.notes["seeds"]["source"] == "auto"


def test_few_seeds_count_as_uncalibrated(small_run: Path) -> None:
    record = Workspace(small_run).record("noise")
    assert record is not None and record.notes["calibration"] == "uncalibrated"


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
    settings = NoiseSettings(seeds=str(small_images / "seeds.csv"))
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (small_copy / "noise").iterdir()}
    assert run_noise(Workspace(small_copy), settings, RunOptions(workers=1)).was_current
    assert run_labels(Workspace(small_copy), LabelsSettings(), RunOptions(workers=2)).was_current
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (small_copy / "noise").iterdir()}
    changed = dataclasses.replace(settings, threshold=0.8)
    assert not run_noise(Workspace(small_copy), changed, RunOptions()).was_current


def test_a_stale_parent_names_the_command(small_copy: Path, small_images: Path) -> None:
    workspace = Workspace(small_copy)
    run_scan(workspace, small_images / "images", ScanSettings(near_radius=0), RunOptions(workers=1))
    with pytest.raises(StaleStageError, match=r"noise/manifest\.parquet is stale: scan has run since") as stale:
        run_labels(workspace, LabelsSettings(), RunOptions())
    assert stale.value.exit_code == 3 and "cleaner noise" in stale.value.next_step
    (small_copy / "scan" / "stage.json").unlink()
    with pytest.raises(StaleStageError, match="scan was interrupted") as stale:
        run_noise(workspace, NoiseSettings(), RunOptions())
    assert "cleaner scan" in stale.value.next_step
    with pytest.raises(StaleStageError, match="no manifest for noise to read") as stale:
        run_noise(Workspace(small_copy / "elsewhere"), NoiseSettings(), RunOptions())
    assert "cleaner scan IMAGES" in stale.value.next_step


def test_any_other_manifest_can_be_read(small_copy: Path, small_images: Path, tmp_path: Path) -> None:
    """`--from FILE`: half of the scan's rows, beside no record."""
    scan = read_manifest(small_copy / "scan" / "manifest.parquet")
    write_manifest(tmp_path / "half.parquet", scan.iloc[::2], stage="scan", parent_sha256="")
    seeds = pd.read_csv(small_images / "seeds.csv")
    part = seeds[seeds["file_name"].isin(scan["file_name"].iloc[::2])]
    part.to_csv(tmp_path / "seeds.csv", index=False)
    settings = NoiseSettings(seeds=str(tmp_path / "seeds.csv"))
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
        (EmbeddingSettings(weights=str(tmp_path / "w.pth")), BadInputError, "cannot be read as weights"),
        (EmbeddingSettings(weights=str(tmp_path / "absent.pth")), BadInputError, "no such weights file"),
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
    run_noise(workspace, NoiseSettings(seeds=str(tmp_path / "seeds.csv")), options)
    run_labels(workspace, LabelsSettings(top_k=(1,), max_rounds=1), options)
    run_balance(workspace, BalanceSettings(low_count="keep", floor=1.0), options)
    last = pd.read_parquet(tmp_path / "balance" / "manifest.parquet").set_index("file_name")
    val = last[last["split"] == "val"]
    assert val["noise_prob"].notna().all() and val["is_noise"].any()
    assert val["keep"].all() and (val["fold"] == -1).all() and (val["repeats"] == 1).all()
    assert (val["clean_label"] == val["label"]).all() and (val["label_issue"] == "").all()
    assert (last.loc[last["split"] == "train", "repeats"] > 1).any()
    # the copy in the other split stays, beside the one in train
    copies = last[last["image_id"] == last["image_id"].iloc[0]]
    assert set(copies["split"]) == {"train", "val"}
    run_noise(workspace, NoiseSettings(seeds=str(tmp_path / "seeds.csv"), clean_split=("val",)), options)
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
