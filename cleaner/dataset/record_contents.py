"""What a stage's record says in `counts`, `notes` and `settings`, as far as anybody reads it: their declared types."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import msgspec

from cleaner.config_sources import TABLES
from cleaner.setting import SettingError


class _Counts(TypedDict):
    rows: int
    kept: int
    dropped: dict[str, int]


class _ScanCounts(_Counts):
    label_conflicts: NotRequired[int]
    faults: NotRequired[dict[str, int]]
    split_leaks: NotRequired[dict[str, int]]
    copies_within: NotRequired[dict[str, int]]
    cross_split_copies: NotRequired[int]


class _NoiseCounts(_Counts):
    doubtful: NotRequired[int]


class _LabelsCounts(_Counts):
    for_people: NotRequired[int]
    expected_wrong: NotRequired[dict[str, float]]


class _BalanceCounts(_Counts):
    classes_for_people: NotRequired[list[str]]


class _TrainCounts(TypedDict):
    classes: int
    images: int


class _NoiseRound(TypedDict):
    round: int
    found: int
    new: int
    left: int
    prior: float


class _NoiseNotes(TypedDict, total=False):
    seeds: dict[str, Any]
    calibration: str
    rounds: list[_NoiseRound]
    stopped: str


class _LabelRound(TypedDict):
    round: int
    recipe: str
    judged: int
    positive: int


_Pass = TypedDict("_Pass", {"pass": str, "top_k": int, "judged": int, "stable": bool, "rounds": list[_LabelRound]})


class _Rule(TypedDict):
    threshold: float


class _LabelsNotes(TypedDict, total=False):
    learner: str
    passes: list[_Pass]
    rule: _Rule


_COUNTS: dict[str, Any] = {
    "scan": _ScanCounts,
    "noise": _NoiseCounts,
    "labels": _LabelsCounts,
    "balance": _BalanceCounts,
    "train": _TrainCounts,
}
_NOTES: dict[str, Any] = {"noise": _NoiseNotes, "labels": _LabelsNotes}


def check_contents(stage: str, counts: dict[str, Any], settings: dict[str, Any], notes: dict[str, Any]) -> None:
    """Raise ValueError, naming the place, for what the stage would not have written; what nobody reads may be anything.

    A setting that is missing or unknown is that of another version.
    """
    for what, value, kinds in (("counts", counts, _COUNTS), ("notes", notes, _NOTES)):
        try:
            msgspec.convert(value, kinds.get(stage, dict[str, Any]))
        except msgspec.ValidationError as error:
            raise ValueError(f"{what}: {error}") from error
    if stage in TABLES:
        known = TABLES[stage].flat()
        inner = {
            f"{name}.{key}": v for name, part in settings.items() if isinstance(part, dict) for key, v in part.items()
        }
        for name, value in (settings | inner).items():
            if name in known:
                try:
                    known[name].checked(value)
                except SettingError as error:
                    raise ValueError(f"{error.what}, expected {error.expected}") from error
