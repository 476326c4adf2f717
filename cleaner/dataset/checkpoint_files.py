"""Checkpoints of trained networks as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cleaner.errors import BadInputError


def find_checkpoints(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` name, each a .safetensors or a folder of them. Raises BadInputError if there is none."""
    found: list[Path] = []
    for path in paths:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise BadInputError(
                f"{path}: no checkpoint",
                expected="a .safetensors file, or a folder",
                next_step="give a checkpoint of `cleaner train`, or of `cleaner labels` (labels/models)",
            )
        found += files
    return found
