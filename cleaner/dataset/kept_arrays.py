"""Arrays that a stage keeps beside its manifest, with what must be said of them, in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from cleaner.dataset.store import Arrays, atomic_writer
from cleaner.dataset.tensor_files import tensor_bytes

_ABOUT = "about"


def write_kept(path: Path, arrays: Arrays, about: dict[str, Any]) -> None:
    """Write `arrays` by name, and `about` as JSON; the same content has the same bytes."""
    with atomic_writer(path) as file:
        file.writelines(tensor_bytes(arrays, {_ABOUT: json.dumps(about)}))


def read_kept(path: Path) -> tuple[Arrays, Any]:
    """The arrays by name and what is said of them, None if nothing is. For a `reading` block: raises what comes."""
    with safe_open(path, framework="numpy") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, json.loads((file.metadata() or {}).get(_ABOUT, "null"))
