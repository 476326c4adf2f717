"""Names of splits that every reader takes: letters, digits and `_`, one each."""

from __future__ import annotations

import re
from collections.abc import Iterable


def plain_splits(splits: Iterable[str]) -> dict[str, str]:
    """A plain name for each split: the split itself where that is one, else with `_` for other characters."""
    found: dict[str, str] = {}
    for split in sorted(splits, key=lambda name: (_plain(name) != name, name)):
        name, number = _plain(split), 2
        while name in found.values():
            name, number = f"{_plain(split)}_{number}", number + 1
        found[split] = name
    return found


def _plain(split: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", split) or "_"
