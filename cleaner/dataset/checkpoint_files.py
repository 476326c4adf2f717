"""Checkpoints of trained networks as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cleaner.dataset.workspace import Workspace
from cleaner.errors import BadInputError


def find_checkpoints(paths: Sequence[Path]) -> list[Path]:
    """The checkpoint files of `paths`, each a .safetensors file or a folder of them. Raises BadInputError if none."""
    found: list[Path] = []
    for path in paths:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise _no_checkpoint(path)
        found += files
    return found


def _no_checkpoint(path: Path) -> BadInputError:
    folder = path if path.suffix != ".safetensors" else path.parent
    labels = Workspace(folder.absolute().parent.parent).record("labels") if folder.name == "models" else None
    if labels is not None and labels.notes.get("learner") == "predictions":
        return BadInputError(
            f"{path}: no checkpoint",
            expected="a .safetensors file, or a folder of them",
            found="`cleaner labels` trained no model: the predictions of --pred-probs decided alone",
            next_step="run `cleaner labels` with --pred-probs-blend or without --pred-probs, or give your own model's "
            "checkpoint (docs/training.md)",
        )
    return BadInputError(
        f"{path}: no checkpoint",
        expected="a .safetensors file, or a folder of them",
        next_step="give a checkpoint of `cleaner train`, or of `cleaner labels` (labels/models)",
    )
