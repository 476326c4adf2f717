"""What the last labels stage predicted, out of fold, for the rows of an export: probabilities of its classes by chunk.

The stage keeps the given class and the most probable others of each image. What probability is left is spread evenly
over the classes that it did not keep; classes that are not exported are taken out, and the rest sums to 1 again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.verdicts import read_verdicts, resolve_merges
from cleaner.errors import BadInputError
from cleaner.exports.cleaned import Cleaned
from cleaner.stages.labels.last_predictions import LastPredictions

CHUNK = 4096
_CHUNK_CELLS = 1 << 22  # 32 MB of probabilities at once


@dataclass(frozen=True)
class Judged:
    """The rows of an export that the labels stage judged, n of them, and what it saw and predicted."""

    rows: pd.DataFrame
    """(n,), by file_name."""
    classes: list[str]
    """(K,): the classes of these rows, sorted."""
    _last: LastPredictions
    _lines: np.ndarray
    _column_of: np.ndarray

    @classmethod
    def of(cls, cleaned: Cleaned, *, dropped: bool = False) -> Judged:
        """The kept rows that were judged, with `dropped` also the others.

        Raises BadInputError if the labels stage has not run here, or judged none of them.
        """
        place = cleaned.workspace
        record = place.record("labels") if place is not None else None
        last = LastPredictions.read(place.stage_dir("labels")) if place is not None and record is not None else None
        if place is None or last is None:
            raise BadInputError(
                f"{place.root if place else 'the manifest'}: no out-of-fold probabilities",
                expected="a labels stage that ran with --rule auto",
                next_step="run `cleaner labels`",
            )
        names = read_manifest(place.manifest_path("labels"), ["file_name", "image_id"]).iloc[last.rows]
        rows = pd.concat([cleaned.kept, cleaned.dropped]) if dropped else cleaned.kept
        rows = rows.loc[rows["clean_label"].isin(cleaned.classes)].sort_values("file_name", kind="stable")
        lines = pd.Index(names["file_name"]).get_indexer(pd.Index(rows["file_name"]))
        same = names["image_id"].to_numpy()[lines] == rows["image_id"].to_numpy()
        known = (lines >= 0) & same
        if not known.any():
            raise BadInputError(
                "the labels stage judged none of these images",
                next_step="run `cleaner labels`, and the stages after it",
            )
        rows = rows.loc[known]
        merged = resolve_merges(read_verdicts(place).classes)
        classes = sorted(set(rows["clean_label"]))
        own = [merged.get(last.merged.get(name, name), last.merged.get(name, name)) for name in last.classes]
        return cls(rows, classes, last, lines[known], pd.Index(classes).get_indexer(pd.Index(own)))

    @property
    def num_features(self) -> int:
        """D, the length of the features; 0 where the stage looked at no image itself."""
        return int(self._last.features.shape[1])

    def chunks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Slices of the rows with their probabilities (B, K) float32, which sum to 1, and features (B, D) float32."""
        num = min(CHUNK, max(1, _CHUNK_CELLS // len(self._last.classes)))
        for start in range(0, len(self.rows), num):
            part = slice(start, min(start + num, len(self.rows)))
            lines = self._lines[part]
            yield part, self._probabilities(lines), self._last.features[lines].astype(np.float32)

    def _probabilities(self, lines: np.ndarray) -> np.ndarray:
        predictions = self._last.predictions
        classes, probs = predictions.classes[lines], predictions.probs[lines].astype(np.float64)
        kept, num_classes = classes >= 0, len(self._last.classes)
        kept[:, 0] &= ~np.isnan(predictions.self_confidence[lines])
        left, num_left = 1 - (probs * kept).sum(1), num_classes - kept.sum(1)
        dense = np.repeat((np.clip(left, 0, 1) / np.maximum(num_left, 1))[:, None], num_classes, axis=1)
        at, which = np.nonzero(kept)
        dense[at, classes[at, which]] = probs[at, which]
        order = np.argsort(self._column_of, kind="stable")[(self._column_of < 0).sum() :]
        columns, starts = np.unique(self._column_of[order], return_index=True)
        found = np.zeros((len(lines), len(self.classes)))
        found[:, columns] = np.add.reduceat(dense[:, order], starts, axis=1)  # merged classes have one column
        total = found.sum(1, keepdims=True)
        found[total[:, 0] <= 0], total[total <= 0] = 1, len(self.classes)
        return np.asarray(found / total, np.float32)


def about_missing(num: int) -> list[str]:
    """A warning that `num` images of the export were not judged, if there are any."""
    if not num:
        return []
    return [f"{num:,} images are left out: the labels stage did not judge them (another split, or too small a class)"]
