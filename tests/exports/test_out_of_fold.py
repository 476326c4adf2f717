"""Out-of-fold probabilities as exports have them: what was kept, what is spread, and which classes are left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleaner.exports.out_of_fold import Judged
from tests.support.judged import make_judged

CLASSES = ["a", "b", "c", "d"]
PROBS = np.array([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.3, 0.2], [0.7, 0.1, 0.1, 0.1]])


def rows_of(labels: str) -> pd.DataFrame:
    names = [f"{i}.png" for i in range(len(labels))]
    ids = [f"{i:064x}" for i in range(len(labels))]
    frame = pd.DataFrame({"file_name": names, "image_id": ids, "label": list(labels), "clean_label": list(labels)})
    return frame.assign(keep=True, split="train", drop_stage="", drop_reason="", format="PNG", fault="", file_bytes=1)


def probs_of(judged: Judged) -> np.ndarray:
    return np.concatenate([probs for _, probs, _ in judged.chunks()])


def test_probabilities_that_were_kept_stay_and_the_rest_is_spread(tmp_path: Path) -> None:
    whole = Judged.of(make_judged(tmp_path / "whole", rows_of("abcd"), CLASSES, PROBS))
    assert whole.classes == CLASSES and np.allclose(probs_of(whole), PROBS)
    cut = Judged.of(make_judged(tmp_path / "cut", rows_of("abcd"), CLASSES, PROBS, num_kept=1))
    assert np.allclose(probs_of(cut)[0], [0.5, 0.3, 0.1, 0.1]) and np.allclose(probs_of(cut)[1], [0.2, 0.2, 0.2, 0.4])
    assert np.concatenate([f for *_, f in cut.chunks()]).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_classes_that_are_gone_take_no_part_and_merged_ones_are_one(tmp_path: Path) -> None:
    rows = rows_of("abcd")
    rows.loc[3, ["keep", "drop_stage", "drop_reason"]] = False, "balance", "jumbled_class"
    left = Judged.of(make_judged(tmp_path / "gone", rows, CLASSES, PROBS))
    assert left.classes == ["a", "b", "c"] and np.allclose(
        probs_of(left), PROBS[:3, :3] / PROBS[:3, :3].sum(1)[:, None]
    )
    rows = rows_of("abcd").assign(clean_label=["a", "b", "b", "d"])
    one = Judged.of(make_judged(tmp_path / "merged", rows, CLASSES, PROBS, merged={"c": "b"}))
    assert one.classes == ["a", "b", "d"]
    assert np.allclose(probs_of(one), np.stack([PROBS[:, 0], PROBS[:, 1] + PROBS[:, 2], PROBS[:, 3]], 1))


def test_rows_are_found_by_name_and_content(tmp_path: Path) -> None:
    rows = rows_of("abcd")
    cleaned = make_judged(tmp_path / "w", rows, CLASSES, PROBS)
    changed = cleaned.kept.assign(image_id=["f" * 64, *rows["image_id"][1:]]).iloc[[2, 0, 3]]
    moved = Judged.of(type(cleaned)(**{**vars(cleaned), "kept": changed}))
    assert moved.rows["file_name"].tolist() == ["2.png", "3.png"]
    assert probs_of(moved) == pytest.approx(PROBS[2:, 2:] / PROBS[2:, 2:].sum(1)[:, None])


def test_an_image_that_could_not_be_scored_has_no_probability_of_its_own(tmp_path: Path) -> None:
    probs = PROBS.copy()
    probs[0, 0] = np.nan
    found = probs_of(Judged.of(make_judged(tmp_path / "w", rows_of("abcd"), CLASSES, probs)))
    assert found[0] == pytest.approx([0.5, 0.3, 0.15, 0.05]), "what the others leave is its class's"
    assert np.isfinite(found).all()
