"""Records of stages for tests."""

from __future__ import annotations

from typing import Any

from cleaner.dataset.workspace import StageRecord

_COUNTS: dict[str, dict[str, Any]] = {
    "scan": {"label_conflicts": 0, "faults": {}},
    "noise": {"doubtful": 0},
    "labels": {"for_people": 0},
}


def record_of(stage: str, **values: Any) -> StageRecord:
    """The record of a stage that ran on a CPU; what `values` do not say is empty."""
    empty: dict[str, Any] = {"settings": {}, "seed": 0, "images_root": "images", "inputs": [], "outputs": {}}
    empty |= {
        "counts": {"rows": 0, "kept": 0, "dropped": {}} | _COUNTS.get(stage, {}),
        "backbone": {},
        "device": "cpu",
        "threads": 1,
        "seconds": 0.0,
    }
    return StageRecord(stage=stage, **empty | values)
