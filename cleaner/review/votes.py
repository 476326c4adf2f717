"""How annotators voted on the images that are reviewed, where the labels came from a list of annotators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cleaner.dataset.label_lists import VOTES_FILE
from cleaner.dataset.stage_tables import VOTES, read_stage_table
from cleaner.dataset.workspace import Workspace


@dataclass(frozen=True)
class Votes:
    """The votes on all images, V labels of them in all; none where there is no list of annotators."""

    row: np.ndarray
    """(V,) int64, rising: the manifest's row."""
    label: pd.Categorical
    """(V,), the most frequent of each row first."""
    num: np.ndarray
    """(V,) int32: how many gave it."""

    def words(self, row: int) -> list[str]:
        """`annotators: cat 3, dog 1` for an image with votes."""
        first, last = np.searchsorted(self.row, [row, row + 1])
        named = [f"{label} {num}" for label, num in zip(self.label[first:last], self.num[first:last], strict=True)]
        return [f"annotators: {', '.join(named)}"] if named else []


def read_votes(workspace: Workspace, file_names: pd.Series) -> Votes:
    """The votes that the scan recorded on a manifest's `file_names`."""
    record = workspace.record("scan")
    if record is None or VOTES_FILE not in record.outputs:
        return Votes(np.empty(0, np.int64), pd.Categorical([]), np.empty(0, np.int32))
    table = read_stage_table(workspace.stage_dir("scan") / VOTES_FILE, VOTES, ["file_name", "label", "votes"])
    row = pd.Index(file_names).get_indexer(pd.Index(table["file_name"]))
    order = np.argsort(row, kind="stable")[(row < 0).sum() :]
    return Votes(row[order], pd.Categorical(table["label"].iloc[order]), table["votes"].to_numpy()[order])
