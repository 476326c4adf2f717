"""What `explain` says names the cause that was planted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cleaner.dataset.workspace import Workspace
from cleaner.diagnostics.explain import explain_images
from tests.support.places import SAMPLE


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
        assert "perhaps" in text and "wrong with a probability of" in text
        assert "cross-training" in text and "round 1" in text
        assert repr(manifest.loc[name, "suggested_label"]) in text


def test_what_is_said_of_a_label_follows_its_probability(sample_run: Path) -> None:
    """A label is called probably wrong where that is so, and nowhere else."""
    manifest = Workspace(sample_run).manifest()
    issues = manifest[manifest["label_issue"] != ""].sort_values("label_issue_prob")
    assert issues["label_issue_prob"].iloc[0] < 0.05 and issues["label_issue_prob"].iloc[-1] > 0.9
    for row in issues.iloc[:: max(1, len(issues) // 12)].itertuples():
        text = text_of(sample_run, row.file_name)
        assert ("is probably wrong" in text) == (row.label_issue_prob > 0.5), text
        assert ("is probably right" in text) <= (row.label_issue_prob < 0.5), text


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
