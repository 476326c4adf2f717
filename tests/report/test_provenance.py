"""The commands that a report gives."""

from __future__ import annotations

from typing import Any

import pytest

from cleaner.report.provenance import make_command
from tests.support.records import record_of


@pytest.mark.parametrize(
    ("stage", "settings", "seed", "command", "only_in_file"),
    [
        ("labels", {"folds": 5, "top_k": [5, 1], "drop": None}, 0, "cleaner labels", {}),
        ("labels", {"top_k": [1], "drop": []}, 3, "cleaner labels --top-k 1 --drop none --seed 3", {}),
        (
            "noise",
            {"clean_split": ["val", "te st"], "doubtful": 0.4, "embedding": {"image_size": 64}},
            0,
            "cleaner noise --image-size 64 --clean-split val --clean-split 'te st'",
            {"doubtful": 0.4},
        ),
        (
            "scan",
            {"labels_file": "/a b.csv", "follow_symlinks": True},
            0,
            "cleaner scan '/my images' --labels '/a b.csv' --follow-symlinks",
            {},
        ),
    ],
)
def test_commands_are_those_that_run_it_again(
    stage: str, settings: dict[str, Any], seed: int, command: str, only_in_file: dict[str, Any]
) -> None:
    record = record_of(stage, settings=settings, seed=seed, images_root="/my images")
    assert make_command(record) == (command, only_in_file)
