"""What the earlier run's models say of new images: noise, and wrong labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from cleaner.config import EmbeddingSettings, RunOptions
from cleaner.dataset.store import Arrays
from cleaner.dataset.workspace import StageRecord, Workspace
from cleaner.errors import BadInputError
from cleaner.modeling.backbones import Backbone, load_backbones
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.kept_heads import KeptHeads
from cleaner.reading import read_document, reading
from cleaner.scoring.held_out import NUM_OTHERS, HeldOut, predict_held_out
from cleaner.scoring.out_of_fold import UNDECIDED, OutOfFold
from cleaner.stages.check.known import KnownSet
from cleaner.stages.inputs import embed_rows
from cleaner.stages.labels.issue_estimate import judge
from cleaner.stages.labels.last_predictions import LastPredictions
from cleaner.stages.noise_kept import KeptNoise

_AGAIN = "run `cleaner labels --force`"
_SAME_NETWORK = ("name", "weights_sha256", "image_size", "views")


@dataclass
class Judgement:
    """What the models say of n new images."""

    noise_prob: np.ndarray
    """(n,) float32; NaN where there is no model."""
    issue_prob: np.ndarray
    """(n,) float32: probability that the label is wrong; NaN where it was not judged."""
    flagged: np.ndarray
    """(n,) bool: it is above the threshold of the estimate."""
    suggested: np.ndarray
    """(n,) object: the most probable other class; '' where there is none."""
    suggested_prob: np.ndarray
    """(n,) float32; NaN where there is none."""
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def none(cls, num: int) -> Judgement:
        """Nothing said yet."""
        nan = np.full(num, np.nan, np.float32)
        return cls(nan, nan.copy(), np.zeros(num, bool), np.full(num, "", object), nan.copy())

    def put(self, rows: np.ndarray, part: Judgement) -> None:
        """Take over what `part` says of the images at `rows` (m,)."""
        for name in ("noise_prob", "issue_prob", "flagged", "suggested", "suggested_prob"):
            getattr(self, name)[rows] = getattr(part, name)


class Models:
    """The models of a known set, over the embeddings of new images."""

    def __init__(
        self, known: KnownSet, images_root: Path, rows: pd.DataFrame, scratch: Workspace, options: RunOptions
    ) -> None:
        """`rows`: manifest rows of the n new images; `scratch` takes their embeddings."""
        self._known, self._root, self._rows = known, images_root, rows
        self._scratch, self._options = scratch, options
        self._embedded: dict[EmbeddingSettings, Embeddings] = {}

    def judge(self, fold: np.ndarray) -> Judgement:
        """Judge all images; `fold` (n,) int64: of a copy of a known image that image's fold, else -1.

        Raises BadInputError if this machine's network is another one than the run's.
        """
        found = Judgement.none(len(self._rows))
        if len(self._rows):
            self._judge_noise(found)
            self._judge_labels(found, fold)
        return found

    def _judge_noise(self, found: Judgement) -> None:
        record = self._known.record("noise")
        if record is None:
            found.warnings.append("noise is not judged: the run has no noise stage (cleaner noise)")
            return
        kept = KeptNoise.read(self._known.workspace.stage_dir("noise"))
        if kept is None:
            found.warnings.append("noise is not judged: that stage is of an older version (cleaner noise --force)")
            return
        found.noise_prob = kept.noise_probs(self._embed(record), self._rows)

    def _judge_labels(self, found: Judgement, fold: np.ndarray) -> None:
        record, folder = self._known.record("labels"), self._known.workspace.stage_dir("labels")
        if record is None:
            found.warnings.append("labels are not judged: the run has no labels stage (cleaner labels)")
            return
        last = LastPredictions.read(folder)
        cards = [_read_card(path) for path in sorted(folder.glob("models/fold_*.json"))]
        if last is None or not cards or any(card["learner"] != "probe" for card in cards):
            found.warnings.append(
                "labels are not judged: that takes the linear heads of `cleaner labels --learner probe --rule auto`, "
                "which the run did not leave"
            )
            return
        number = last.class_numbers
        given = np.array([number.get(last.merged.get(name, name), -1) for name in self._rows["clean_label"].tolist()])
        mine = np.flatnonzero(given >= 0)
        if not len(mine):
            return
        states = [_read_head(folder / f"models/fold_{card['fold']}.safetensors") for card in cards]
        heads = KeptHeads(states, self._embed(record), fold)
        scorable = np.max([state["bias"] for state in states], axis=0) > -1e3
        wanted = HeldOut(mine, given[mine], scorable, NUM_OTHERS)
        self._estimate(found, last, mine, predict_held_out(heads, wanted))

    def _estimate(self, found: Judgement, last: LastPredictions, mine: np.ndarray, new: OutOfFold) -> None:
        """Estimate the issues of the run's images and of the new ones together: what is known of the former says how
        labels go wrong.
        """
        both = _joined(last.predictions, new)
        decided = np.concatenate([self._decided(last), np.full(len(mine), UNDECIDED)])
        estimate = judge(both, len(last.classes), decided, trusted=last.trusted)
        start, names = len(last.rows), np.array([*last.classes, ""], dtype=object)
        found.issue_prob[mine] = estimate.issue_prob[start:]
        found.flagged[mine] = estimate.flagged[start:]
        found.suggested[mine] = names[estimate.noise.suggested[start:]]
        found.suggested_prob[mine] = estimate.noise.suggested_prob[start:]

    def _decided(self, last: LastPredictions) -> np.ndarray:
        """(N,) int64: the class that people gave each of the run's images by now, else UNDECIDED or NO_CLASS."""
        image_ids = self._known.rows["image_id"].to_numpy()[last.rows]
        return np.array([last.decided_class(self._known.verdict(image_id)) for image_id in image_ids], np.int64)

    def _embed(self, record: StageRecord) -> Embeddings:
        settings = msgspec.convert(record.settings["embedding"], EmbeddingSettings)
        if settings not in self._embedded:
            backbones = load_backbones(settings, self._options.device)
            _require_same(record, backbones)
            self._embedded[settings] = embed_rows(
                self._scratch, self._root, self._rows, backbones, self._options, with_style=True
            )
        return self._embedded[settings]


def _joined(first: OutOfFold, second: OutOfFold) -> OutOfFold:
    """Both predictions, one after the other."""
    arrays = second.arrays()
    joined = {name: np.concatenate([values, arrays[name]]) for name, values in first.arrays().items()}
    return replace(first, given=np.concatenate([first.given, second.given]), **joined)


def _require_same(record: StageRecord, backbones: tuple[Backbone, ...]) -> None:
    def shown(one: dict[str, Any]) -> dict[str, Any]:
        return {name: one.get(name) for name in _SAME_NETWORK}

    here, there = ([shown(one) for one in each] for each in ([b.describe() for b in backbones], record.backbones))
    if here != there:
        raise BadInputError(
            f"{record.stage}: its models look through another network than the one that is here",
            expected=", ".join(f"{one['name']} {str(one['weights_sha256'])[:12]}" for one in there),
            found=", ".join(f"{one['name']} {str(one['weights_sha256'])[:12]}" for one in here),
            next_step=f"install the network of the run, or run `cleaner {record.stage} --force` here",
        )


class _Card(TypedDict):
    learner: str
    fold: int


def _read_card(path: Path) -> _Card:
    return read_document(path, _Card, "description of a fold's model", _AGAIN)


def _read_head(path: Path) -> Arrays:
    with reading(path, "model of a fold", _AGAIN):
        head: Arrays = load_file(path)
        if not all(np.isfinite(head[name]).all() for name in ("weight", "bias", "mean", "std")):
            raise ValueError("numbers that are not finite")
        return head
