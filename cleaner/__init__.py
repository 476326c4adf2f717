"""cleaner: staged cleaning of labelled image sets for classification.

As a library: `open_workspace`, the stages `scan`, `noise`, `labels`, `balance`, and their settings (see
docs/python-api.md). Each is loaded when it is first asked for, so that `import cleaner` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "cleaner.api": ("open_workspace", "scan", "noise", "labels", "balance"),
    "cleaner.config": (
        "BalanceSettings",
        "EmbeddingSettings",
        "LabelsSettings",
        "NoiseSettings",
        "ScanSettings",
    ),
    "cleaner.config_sources": ("read_config",),
    "cleaner.errors": ("CleanerError",),
    "cleaner.exports.kind": ("ExportOptions",),
    "cleaner.opened_workspace": ("Workspace",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # what type checkers see of it stands in __init__.pyi
    if name not in _HOME_OF:
        raise AttributeError(f"module 'cleaner' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
