"""The order of the label queue: where a look is likeliest to mend something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cleaner.dataset.workspace import Workspace
from cleaner.review.label_queues import most_gain_first
from tests.support.program import Program


def order(gain: list[float], own: list[float]) -> list[int]:
    items = pd.DataFrame({"row": np.arange(len(gain))})
    ordered: list[int] = most_gain_first(items, np.array(gain), np.array(own))["row"].tolist()
    return ordered


def test_the_likelier_a_wrong_decision_the_earlier() -> None:
    assert order([0.02, 0.9, 0.3, 0.1], [0.5] * 4) == [1, 2, 3, 0]
    assert order([np.nan, 0.0, 0.4], [0.1, 0.9, 0.5]) == [2, 1, 0]


def test_of_equal_odds_what_is_recognised_least_goes_first() -> None:
    assert order([0.30, 0.31, 0.32, 0.6], [0.5, 0.1, 0.3, 0.9]) == [3, 1, 2, 0]
    assert order([0.0, 1e-7, 1e-4], [0.2, 0.1, 0.3]) == [1, 0, 2], "one in a thousand is as good as none"


def test_wrong_labels_among_the_kept_and_right_ones_among_the_dropped(sample_run: Path, program: Program) -> None:
    listed = program("queue", "labels", "--limit", "100000", "-C", sample_run, "--json")
    names = [item["file_name"] for item in listed.document("queue")]
    rows = Workspace(sample_run).manifest().set_index("file_name").loc[names]
    by_labels = rows["drop_reason"].str.startswith("label_issue")
    assert by_labels.any() and rows["keep"].any()
    gain = np.where(rows["keep"], rows["label_issue_prob"], 1 - rows["label_issue_prob"])
    gain = np.clip(gain[rows["keep"] | by_labels], 0.001, 0.999)
    assert not (rows["keep"] | by_labels).iloc[len(gain) :].any(), "what other stages dropped comes last"
    odds = gain / (1 - gain)
    assert (odds[1:] <= 2 * odds[:-1] + 1e-6).all() and odds[0] > 10 * odds[-1]
