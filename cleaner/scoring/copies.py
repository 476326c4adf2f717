"""What follows from groups of copies: which one stays, and which splits share pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleaner.dataset.class_folders import TRAIN


def worse_copies(manifest: pd.DataFrame) -> np.ndarray:
    """Kept rows with a better copy of the same split and label, (N,) bool: larger, else less compressed, else earlier.

    `manifest` has the columns keep, duplicate_group, split, label, width, height, file_bytes and file_name.
    """
    rows = manifest[manifest["keep"] & (manifest["duplicate_group"] >= 0)]
    area = rows["width"].astype(np.int64) * rows["height"]
    ranked = rows.assign(area=area).sort_values(
        ["area", "file_bytes", "file_name"], ascending=[False, False, True], kind="stable"
    )
    worse = ranked[ranked.duplicated(["duplicate_group", "split", "label"])]
    result: np.ndarray = manifest.index.isin(worse.index)
    return result


def leaking(manifest: pd.DataFrame) -> np.ndarray:
    """Kept rows of split train that have a copy, exact or near, in another split: (N,) bool."""
    shared = _shared(manifest)
    return np.asarray(manifest["keep"] & (manifest["split"] == TRAIN) & manifest["duplicate_group"].isin(shared.index))


def count_leaks(manifest: pd.DataFrame) -> dict[str, int]:
    """For each two splits that share pictures, as `test and train`: the groups of copies with kept rows of both."""
    counts: dict[str, int] = {}
    for splits in _shared(manifest):
        for i, first in enumerate(splits):
            for second in splits[i + 1 :]:
                name = f"{first} and {second}"
                counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def count_within(manifest: pd.DataFrame) -> dict[str, int]:
    """For each split but train: the kept rows that are copies of others of the split, one of each group aside."""
    rows = manifest[manifest["keep"] & (manifest["duplicate_group"] >= 0) & (manifest["split"] != TRAIN)]
    again = rows[rows.duplicated(["duplicate_group", "split"])]
    return {str(split): int(num) for split, num in again["split"].value_counts().sort_index().items()}


def leak_examples(manifest: pd.DataFrame, most: int) -> list[str]:
    """Names of copies across splits, `first = second`, one pair for each of the first `most` groups."""
    rows = manifest[manifest["keep"]]
    examples = []
    for group, splits in _shared(manifest).head(most).items():
        members = rows[rows["duplicate_group"] == group]
        names = [members.loc[members["split"] == split, "file_name"].iloc[0] for split in reversed(splits)]
        examples.append(" = ".join(names))
    return examples


def _shared(manifest: pd.DataFrame) -> pd.Series:
    """The splits, sorted, of each group of copies with kept rows of more than one; its index is duplicate_group."""
    rows = manifest.loc[manifest["keep"] & (manifest["duplicate_group"] >= 0), ["duplicate_group", "split"]]
    pairs = rows.drop_duplicates().sort_values(["duplicate_group", "split"])
    splits = pairs.groupby("duplicate_group")["split"].agg(list)
    return splits[splits.map(len) > 1]
