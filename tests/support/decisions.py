"""Images and verdicts for tests of decisions."""

from __future__ import annotations

from cleaner.dataset.decisions import DecisionStore

A, B, C = "a" * 64, "b" * 64, "c" * 64


def in_force(store: DecisionStore) -> dict[str, tuple[str, str]]:
    frame = store.image_verdicts()
    return {k: (v, label) for k, v, label in zip(frame.index, frame["verdict"], frame["label"], strict=True)}
