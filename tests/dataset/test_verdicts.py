"""Verdicts that stages use."""

from __future__ import annotations

from pathlib import Path

from cleaner.dataset.decisions import DecisionStore
from cleaner.dataset.events import agreed
from cleaner.dataset.verdicts import verdicts_digest
from tests.support.decisions import A, B


def test_the_digest_follows_verdicts_not_order_or_annotators(tmp_path: Path) -> None:
    one, two = DecisionStore(tmp_path / "one"), DecisionStore(tmp_path / "two")

    def digest(store: DecisionStore) -> str:
        return verdicts_digest({key: event for (_, key), event in agreed(store.standing()).items()})

    assert digest(one) == digest(two)
    one.add("image", A, "noise", annotator="ann")
    one.add("image", B, "drop", annotator="ann")
    two.add("image", B, "drop", annotator="bob")
    two.add("image", A, "noise", annotator="bob")
    assert digest(one) == digest(two)
    two.add("image", A, "normal", annotator="bob")
    assert digest(one) != digest(two)
