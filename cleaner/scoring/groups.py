"""Groups of copies, and folds that keep each group together."""

from __future__ import annotations

import numpy as np
import pandas as pd


def exact_groups(manifest: pd.DataFrame) -> np.ndarray:
    """Group numbers (N,) int64: equal for rows that are exact copies, and only for those."""
    keys = manifest["pixel_id"] if "pixel_id" in manifest else manifest["image_id"]
    own = keys.where(keys != "", manifest["file_name"])
    codes: np.ndarray = pd.factorize(own)[0].astype(np.int64)
    return codes


def duplicate_groups(manifest: pd.DataFrame) -> np.ndarray:
    """Group numbers (N,) int64: equal within a duplicate group; every other row has its own."""
    group = manifest["duplicate_group"].to_numpy().copy()
    lone = group < 0
    group[lone] = group.max(initial=-1) + 1 + np.arange(int(lone.sum()))
    return group


def assign_folds(groups: np.ndarray, targets: np.ndarray, num_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Stratified folds (n,) int64 from 0, for n rows with `groups` and class numbers `targets`, both (n,) int64.

    Rows of one group share a fold; folds are stratified by the class of each group's first row.
    """
    first = np.unique(groups, return_index=True)[1]
    unit_of_row = np.searchsorted(groups[first], groups)
    order = np.lexsort((rng.random(len(first)), targets[first]))
    fold_of_unit = np.empty(len(first), np.int64)
    fold_of_unit[order] = np.arange(len(first)) % num_folds
    folds: np.ndarray = fold_of_unit[unit_of_row]
    return folds
