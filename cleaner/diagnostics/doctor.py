"""The machine's software and hardware, and what a run on it would use."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaner import __version__
from cleaner.config import Config
from cleaner.engine.local import count_workers
from cleaner.errors import CleanerError
from cleaner.modeling.machine import describe_torch

PACKAGES = ("torch", "timm", "numpy", "pandas", "pyarrow", "pillow", "scikit-learn", "scipy", "typer", "rich")
OPTIONAL = ("ray", "torchvision", "cleanlab", "cleanvision")
_LITTLE_SPACE_BYTES = 2 << 30


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """The results of `examine`."""

    versions: dict[str, str]
    machine: dict[str, Any]
    disk: dict[str, Any]
    run: dict[str, Any]
    """What a run would use: device, precision, threads, workers, backbone."""
    problems: list[str]


def examine(folder: Path, config: Config, *, device: str, workers: int) -> Checkup:
    """Examine the machine, and what a run in the workspace `folder` would use. Changes nothing."""
    problems: list[str] = []
    existing = next(p for p in [folder.absolute(), *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free
    if free < _LITTLE_SPACE_BYTES:
        problems.append(f"little free space in {existing}: {free / 1e9:.1f} GB")
    if not os.access(existing, os.W_OK):
        problems.append(f"{existing} cannot be written to")
    if not hasattr(os, "fork"):
        problems.append("this system is neither Linux nor macOS, and untested")
    try:
        run = describe_torch(config.embedding, device)
    except CleanerError as error:
        run = {}
        problems.append(str(error))
    return Checkup(
        versions={"cleaner": __version__, "python": platform.python_version()} | _versions(),
        machine={"system": platform.platform(), "cores": os.cpu_count() or 1, "memory_bytes": _memory_bytes()},
        disk={"folder": str(existing), "free_bytes": free},
        run=run | {"workers": count_workers(workers)},
        problems=problems,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in (*PACKAGES, *OPTIONAL):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed" if name in PACKAGES else "not installed (optional)"
    return found


def _memory_bytes() -> int:
    if sys.platform == "win32":
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
