"""The label probabilities that follow people's verdicts while they look: no new run of the stage, and no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cleaner.dataset.workspace import MANIFEST, Workspace
from cleaner.review.catalogue import Catalogue
from cleaner.review.follower import Follower
from cleaner.review.ledger import Ledger
from cleaner.scoring.expected_precision import choose_drops
from cleaner.scoring.label_looks import teach
from cleaner.scoring.out_of_fold import UNDECIDED
from cleaner.stages.labels.issue_estimate import judge
from cleaner.stages.labels.last_predictions import FILE, LastPredictions

_WORTH_A_LOOK = 0.1
"""Labels that are wrong more often than this are asked about, whatever the passes of the last run said."""


@dataclass(frozen=True)
class LabelFit:
    """What the verdicts so far make of the labels of N rows of the manifest."""

    issue_prob: np.ndarray
    """(N,) float64: probability that the given label is wrong; NaN where it was not judged."""
    is_candidate: np.ndarray
    """(N,) bool: a person might look at it."""
    would_drop: np.ndarray
    """(N,) bool: the stage would drop it if it ran now."""
    suggested: np.ndarray
    """(N,) object: the most probable other class; '' where there is none."""
    suggested_prob: np.ndarray
    """(N,) float64."""


class LabelRefit(Follower[LabelFit]):
    """What people's verdicts make of the predictions of the last run of the labels stage."""

    def __init__(self, last: LastPredictions, image_ids: np.ndarray) -> None:
        """`image_ids` (N,) object: of all rows of the manifest."""
        super().__init__()
        self._last, self._num_rows = last, len(image_ids)
        self._positions: dict[str, list[int]] = {}
        for position, image_id in enumerate(image_ids[last.rows]):
            self._positions.setdefault(str(image_id), []).append(position)

    @classmethod
    def open(cls, workspace: Workspace, catalogue: Catalogue) -> LabelRefit | None:
        """For the manifest that is reviewed; None where no labels stage with probabilities is behind it."""
        record = workspace.record("labels")
        if record is None or FILE not in record.outputs or not _is_behind(record.outputs[MANIFEST], catalogue):
            return None
        last = LastPredictions.read(workspace.stage_dir("labels"))
        return None if last is None else cls(last, catalogue.rows["image_id"].to_numpy())

    @property
    def last_fit(self) -> LabelFit | None:
        """The last fit; None before the first `follow`."""
        return self._fit

    def _make_fit(self, ledger: Ledger) -> LabelFit:
        return self.fit(self._read_verdicts(ledger))

    def _read_verdicts(self, ledger: Ledger) -> np.ndarray:
        """(n,) int64: the class that a person gave, else UNDECIDED or NO_CLASS, as the stage would read them."""
        decided = np.full(len(self._last.rows), UNDECIDED)
        for (kind, key), answers in list(ledger.answers.items()):
            if kind == "image":
                decided[self._positions.get(key, [])] = self._last.decided_class(answers.in_force)
        return decided

    def fit(self, decided: np.ndarray) -> LabelFit:
        """What verdicts `decided` (n,) int64 make of the rows that the last run judged."""
        last, classes = self._last, self._last.classes
        predictions = teach(last.predictions, last.features, last.groups, decided)
        estimate = judge(predictions, len(classes), decided, trusted=last.trusted)
        candidates = estimate.flagged & (decided == UNDECIDED)
        drops = choose_drops(estimate.issue_prob, candidates, last.predictions.given, len(classes)).drops
        names = np.array([*classes, ""], dtype=object)
        return LabelFit(
            issue_prob=self._spread(estimate.issue_prob.astype(np.float64), np.nan),
            is_candidate=self._spread(estimate.issue_prob > _WORTH_A_LOOK, False),
            would_drop=self._spread(drops, False),
            suggested=self._spread(names[estimate.noise.suggested], ""),
            suggested_prob=self._spread(estimate.noise.suggested_prob.astype(np.float64), np.nan),
        )

    def _spread(self, values: np.ndarray, empty: object) -> np.ndarray:
        """Values (n,) of the rows that were judged as values (N,) of all rows."""
        spread = np.full(self._num_rows, empty, dtype=values.dtype)
        spread[self._last.rows] = values
        return spread


def _is_behind(manifest_sha256: str, catalogue: Catalogue) -> bool:
    """Whether the labels stage with that manifest is the one that is reviewed, or that which it was made from."""
    return catalogue.stage == "labels" or any(i.sha256 == manifest_sha256 for i in catalogue.record.inputs)
