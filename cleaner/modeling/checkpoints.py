"""Checkpoints of a training: tensors as safetensors, everything else as JSON; at every moment one is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from cleaner.dataset.store import sha256_file, write_atomic, write_json
from cleaner.errors import BadInputError
from cleaner.reading import read_document, reading

_DOCUMENT = "state.json"
Tensors = dict[str, torch.Tensor]
T = TypeVar("T")


class _Step(TypedDict):
    step: int


def save_checkpoint(folder: Path, tensors: Tensors, document: dict[str, Any], *, step: int) -> None:
    """Write a checkpoint: the tensors, then the JSON that names them; then the previous one is removed."""
    path = folder / f"state_{step:08d}.safetensors"
    write_atomic(path, save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))
    write_json(folder / _DOCUMENT, document | {"step": step, "file": path.name, "sha256": sha256_file(path)})
    for old in folder.glob("state_*.safetensors"):
        if old.name != path.name:
            old.unlink(missing_ok=True)  # two do this if a node that counts as lost is alive


def load_checkpoint(folder: Path, key: str) -> tuple[Tensors, dict[str, Any]] | None:
    """The tensors and the JSON of the checkpoint with this `key`; None if there is none, or it is damaged."""
    try:
        with reading(folder / _DOCUMENT, "checkpoint", "delete it"):
            document = json.loads((folder / _DOCUMENT).read_bytes())
            path = folder / document["file"]
            if document["key"] != key or sha256_file(path) != document["sha256"]:
                return None
            return load_tensors(path.read_bytes()), document
    except BadInputError:
        return None


def checkpoint_step(folder: Path) -> int:
    """The step of the checkpoint in a folder, of whichever training; 0 if there is none."""
    try:
        return read_document(folder / _DOCUMENT, _Step, "checkpoint", "delete it")["step"]
    except BadInputError:
        return 0


def pack_optimizer(optimizer: torch.optim.Optimizer) -> Tensors:
    """An optimizer's moments as tensors by name; the rest of its state follows from its settings."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, entry in state.items()
        for name, value in entry.items()
        if isinstance(value, torch.Tensor)
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """The inverse of pack_optimizer, in place."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def with_prefix(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    """Tensors or arrays under the names `prefix.name`."""
    return {f"{prefix}.{name}": value for name, value in values.items()}


def under_prefix(prefix: str, values: Mapping[str, T]) -> dict[str, T]:
    """The inverse of with_prefix: those of `values` under `prefix`, by their own names."""
    return {k.removeprefix(f"{prefix}."): v for k, v in values.items() if k.startswith(f"{prefix}.")}
