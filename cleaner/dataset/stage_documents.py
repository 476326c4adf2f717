"""The JSON that `verify` and `train` write besides their records, as declarations, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from cleaner.reading import read_document

VERIFICATION = "verify.json"
METRICS = "metrics.json"
_Verdict = Literal["helped", "hurt", "cannot_tell"]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Change = Annotated[float, Meta(ge=-1, le=1)]
_Count = Annotated[int, Meta(ge=0)]


class TestPart(TypedDict):
    """The held-out images."""

    kind: Literal["val", "audit", "split"]
    where: str
    noisy_labels: bool
    images: _Count
    classes: _Count
    strata: list[dict[str, Any]]


class SetPart(TypedDict):
    """A training set, and how good models of it are."""

    name: str
    images: _Count
    classes: _Count
    accuracy: _Share
    accuracy_by_seed: list[_Share]
    mean_class_accuracy: _Share


class Comparison(TypedDict):
    """Accuracy after minus accuracy before."""

    before: str
    after: str
    mean: _Change
    low: _Change
    high: _Change
    p_value: _Share
    verdict: _Verdict


class ClassPart(TypedDict):
    """What became of a class."""

    label: str
    learned_before: _Count
    learned_after: _Count
    emptied: bool
    test_images: _Count
    accuracy_before: _Share | None
    accuracy_after: _Share | None
    low: _Change | None
    high: _Change | None
    p_adjusted: _Share | None
    verdict: _Verdict


class Verification(TypedDict):
    """What `cleaner verify` measured; docs/verify.md."""

    schema_version: Literal[1]
    verdict: _Verdict
    confidence: _Share
    learner: str
    recipe: dict[str, Any]
    seeds: list[_Count]
    slots: _Count
    test: TestPart
    sets: list[SetPart]
    comparisons: Annotated[list[Comparison], Meta(min_length=1)]
    classes_helped: list[str]
    classes_hurt: list[str]
    classes_emptied: list[str]
    classes: list[ClassPart]
    warnings: list[str]


class Metrics(TypedDict):
    """What `cleaner train` measured on held-out images; docs/training.md."""

    val: str
    val_images: _Count
    accuracy: _Share | None
    mean_recall: _Share | None
    recall_by_class_size: dict[str, _Share | None]
    average_precision: _Share | None
    mean_average_precision: _Share | None
    epochs: _Count
    training_loss: list[float]
    batch_norm: dict[str, Any] | None


def read_verification(folder: Path) -> Verification:
    """The document in the folder of `verify`. Raises BadInputError if it is not what the stage writes."""
    return read_document(folder / VERIFICATION, Verification, "result of verify", "run `cleaner verify --force`")


def read_metrics(folder: Path) -> Metrics:
    """The document in the folder of `train`. Raises BadInputError if it is not what the stage writes."""
    return read_document(folder / METRICS, Metrics, "result of train", "run `cleaner train --force`")
