"""`cleaner explain` names the cause that was planted, and `cleaner decide` records what a person says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.config import RunOptions, ScanSettings
from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.explain import explain_images
from cleaner.stages.scan import run_scan
from tests.support.places import SAMPLE
from tests.support.program import Program, draw_set, tree_digest


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return pd.read_csv(SAMPLE / "truth.csv", dtype=str, keep_default_na=False)


def text_of(root: Path, name: str) -> str:
    (e,) = explain_images(Workspace(root), [name])
    return "\n".join([e.verdict, *(line for stage in e.stages for line in stage["words"])])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("empty", "empty"),
        ("truncated", "truncated"),
        ("not_an_image", "not an image"),
        ("unsupported_format", "not supported"),
        ("too_large", "too large"),
        ("decode_error", "cannot be decoded"),
        ("outside_root", "leads out of the images root"),
        ("missing", "missing"),
    ],
)
def test_planted_file_faults(sample_run: Path, truth: pd.DataFrame, fault: str, words: str) -> None:
    for name in truth.loc[truth["fault"] == fault, "file_name"]:
        assert words in text_of(sample_run, name)


def test_planted_copies_name_their_original(sample_run: Path, truth: pd.DataFrame) -> None:
    for kind, words in (("exact", "exact copy of"), ("near", "near duplicate of")):
        rows = truth[(truth["duplicate_kind"] == kind) & (truth["conflict"] == "false")]
        named = [
            f"{words} {row.duplicate_of}" in text_of(sample_run, row.file_name)
            or row.duplicate_of in text_of(sample_run, row.file_name)
            for row in rows.head(5).itertuples()
        ]
        assert sum(named) >= 4  # near copies are found with a recall below one


def test_a_planted_conflict_names_both_labels(sample_run: Path, truth: pd.DataFrame) -> None:
    rows = truth[(truth["conflict"] == "true") & (truth["duplicate_kind"] == "exact")]
    for row in rows.head(3).itertuples():
        original = truth[truth["file_name"] == row.duplicate_of].iloc[0]
        text = text_of(sample_run, row.file_name)
        assert "label conflict" in text and row.given_label in text and original["given_label"] in text


def test_planted_noise_images_and_wrong_labels(sample_run: Path, truth: pd.DataFrame) -> None:
    manifest = Workspace(sample_run).manifest().set_index("file_name")
    for row in truth[truth["is_noise_image"] == "true"].head(3).itertuples():
        assert "belongs to no class" in text_of(sample_run, row.file_name)
    wrong = truth[(truth["label_error"] == "any") & (truth["duplicate_of"] == "")]
    found = [n for n in wrong["file_name"] if manifest.loc[n, "label_issue"]][:3]
    assert found
    for name in found:
        text = text_of(sample_run, name)
        assert "probably wrong; perhaps" in text and "wrong with a probability of" in text
        assert "cross-training" in text and "round 1" in text
        assert repr(manifest.loc[name, "suggested_label"]) in text


def test_a_seed_and_a_jumbled_class(sample_run: Path, truth: pd.DataFrame) -> None:
    seed = pd.read_csv(SAMPLE / "seeds.csv")["file_name"].iloc[0]
    assert "it is a seed" in text_of(sample_run, seed)
    manifest = Workspace(sample_run).manifest()
    misc = manifest[(manifest["label"] == "misc") & (manifest["drop_reason"] == "jumbled_class")]
    for name in misc["file_name"].head(1):
        assert "jumble" in text_of(sample_run, name)


def test_neighbours_are_alike_and_not_itself(sample_run: Path, truth: pd.DataFrame) -> None:
    near = truth[truth["duplicate_kind"] == "near"].head(10)
    hits = 0
    for row in near.itertuples():
        (e,) = explain_images(Workspace(sample_run), [row.file_name], 5)
        if not e.neighbours:
            continue
        cosines = [n["cosine"] for n in e.neighbours]
        assert cosines == sorted(cosines, reverse=True) and row.file_name not in [n["file_name"] for n in e.neighbours]
        hits += row.duplicate_of in [n["file_name"] for n in e.neighbours]
    assert hits >= 7  # a near copy's original is among its nearest


def test_on_the_command_line(program: Program, sample_run: Path, truth: pd.DataFrame) -> None:
    before = tree_digest(sample_run)
    names = truth[truth["fault"] == ""]["file_name"].head(2).tolist()
    document = program("explain", *names, "-C", sample_run, "--json").document("explain")
    assert [e["file_name"] for e in document["images"]] == names
    shown = program("explain", SAMPLE / "images" / names[0], "-C", sample_run)
    assert shown.exit_code == 0 and names[0] in shown.out and "nearest by what the network sees" in shown.out
    assert program("explain", "cat/none.jpg", "-C", sample_run).exit_code == 3
    assert tree_digest(sample_run) == before


# --- looking up, deciding ---------------------------------------------------------------------------------------------


@pytest.fixture
def scanned(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    run_scan(workspace, draw_set(tmp_path / "images"), ScanSettings(), RunOptions())
    return workspace


def test_names_paths_and_digits(program: Program, scanned: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    row = scanned.manifest().iloc[0]
    images = scanned.root.parent / "images"
    monkeypatch.chdir(images / "cat")
    for asked in (
        row["file_name"],
        "./" + row["file_name"],
        str(images / row["file_name"]),
        "0.png",
        row["image_id"][:8],
    ):
        (found,) = explain_images(scanned, [asked])
        assert found.file_name == row["file_name"]
    missing = program("explain", "bird/0.png", "-C", scanned.root)
    assert missing.exit_code == 3 and "found: cat/0.png, dog/0.png" in missing.err


def test_decide_and_undo(program: Program, scanned: Workspace) -> None:
    place = ["-C", scanned.root]
    store, manifest = DecisionStore(scanned.decisions_path), scanned.manifest()
    ids = dict(zip(manifest["file_name"], manifest["image_id"], strict=True))
    before = tree_digest(scanned.root)
    assert program("decide", "cat/0.png", "--noise", "--dry-run", *place).exit_code == 0
    assert tree_digest(scanned.root) == before
    done = program("decide", "cat/0.png", "cat/1.png", "--label", "dog", "--json", *place).document("counts")
    assert done["counts"] == {"label": 2} and done["warnings"] == []
    assert store.image_verdicts().loc[ids["cat/1.png"], ["verdict", "label"]].tolist() == ["label", "dog"]
    for verdict in ("noise", "normal", "drop"):
        assert program("decide", "dog/0.png", f"--{verdict}", *place).exit_code == 0
        assert store.image_verdicts().loc[ids["dog/0.png"], "verdict"] == verdict
    assert program("decide", "dog/0.png", "--undo", *place).exit_code == 0
    assert store.image_verdicts().loc[ids["dog/0.png"], "verdict"] == "normal"
    assert program("decide", "cat/0.png", "--label", "dgo", *place).err.count("typing error for 'dog'") == 1
    assert program("decide", "--class", "cat", "--merge-into", "dog", *place).exit_code == 0
    assert store.class_verdicts().loc["cat", ["verdict", "label"]].tolist() == ["merge", "dog"]
    assert program("decide", "--class", "cat", "--undo", *place).exit_code == 0
    assert store.class_verdicts().empty


@pytest.mark.parametrize(
    ("arguments", "exit_code", "needle"),
    [
        (["cat/0.png"], 2, "--label, --noise"),
        (["cat/0.png", "--noise", "--normal"], 2, "--noise --normal"),
        (["cat/0.png", "--keep"], 2, "label, noise, normal"),
        (["--class", "cat", "--noise"], 2, "keep, drop, merge"),
        (["--class", "cats", "--drop"], 3, "cat"),
        (["cat/0.png", "--undo"], 3, "to undo"),
        (["cat/7.png", "--drop"], 3, "not in"),
    ],
)
def test_what_cannot_be_decided(
    program: Program, scanned: Workspace, arguments: list[str], exit_code: int, needle: str
) -> None:
    done = program("decide", *arguments, "-C", scanned.root)
    assert done.exit_code == exit_code and needle in done.err
    assert not scanned.decisions_path.exists()
