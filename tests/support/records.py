"""Records of stages for tests."""

from __future__ import annotations

from typing import Any

from cleaner.dataset.workspace import StageRecord


def record_of(stage: str, **values: Any) -> StageRecord:
    """The record of a stage that ran on a CPU; what `values` do not say is empty."""
    empty: dict[str, Any] = {"settings": {}, "seed": 0, "images_root": "images", "inputs": [], "outputs": {}}
    empty |= {
        "counts": {"rows": 0, "kept": 0, "dropped": {}},
        "backbone": {},
        "device": "cpu",
        "threads": 1,
        "seconds": 0.0,
    }
    return StageRecord(stage=stage, **empty | values)
