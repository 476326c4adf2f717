"""The images of the labels stage as arrays, people's decisions included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cleaner.dataset.manifest import look_up
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.groups import assign_folds, duplicate_groups
from cleaner.scoring.out_of_fold import NO_CLASS, UNDECIDED


@dataclass(frozen=True)
class LabelSet:
    """The images of the labels stage, over n rows."""

    targets: np.ndarray
    """(n,) int64: the given label as a class number."""
    fold: np.ndarray
    """(n,) int64 from 0."""
    groups: np.ndarray
    """(n,) int64: duplicates share a number."""
    learns: np.ndarray
    """(n,) bool: rows that models may learn from (split train)."""
    decided: np.ndarray
    """(n,) int64: the class number that a person gave, else UNDECIDED or NO_CLASS (scoring/out_of_fold.py)."""
    num_classes: int
    identity: str = ""
    """Digest of the images and of the network, for the cache; '' where no network is trained."""

    @property
    def targets_now(self) -> np.ndarray:
        """(n,) int64: class numbers to learn: the person's if there is one, else the given."""
        return np.where(self.decided >= 0, self.decided, self.targets)

    @property
    def scorable(self) -> np.ndarray:
        """(n,) bool: rows whose class has a row to learn from in another fold."""
        learned = np.zeros((self.num_classes, self.fold.max(initial=0) + 1), np.int64)
        np.add.at(learned, (self.targets[self.learns], self.fold[self.learns]), 1)
        elsewhere: np.ndarray = learned.sum(1)[self.targets] > learned[self.targets, self.fold]
        return elsewhere


def make_label_set(rows: pd.DataFrame, classes: list[str], verdicts: pd.DataFrame, folds: int, seed: int) -> LabelSet:
    """The images of manifest `rows`, under `classes` in their order, with people's `verdicts` by image_id."""
    number = {name: i for i, name in enumerate(classes)}
    targets = pd.Categorical(rows["clean_label"], categories=classes).codes.astype(np.int64)
    class_of = verdicts["label"].map(number).where(verdicts["verdict"] == "label", UNDECIDED).fillna(UNDECIDED)
    class_of[verdicts["verdict"].isin(["noise", "drop"])] = NO_CLASS
    decided = look_up(rows["image_id"], class_of, UNDECIDED).astype(np.int64)
    groups = duplicate_groups(rows)
    rng = open_stream(seed, Stream.LABEL_FOLDS)
    return LabelSet(
        targets=targets,
        fold=assign_folds(groups, targets, folds, rng),
        groups=groups,
        learns=(rows["split"] == "train").to_numpy(),
        decided=decided,
        num_classes=len(classes),
    )
