"""Numbers and names as the report writes them."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with control characters, and those that change the direction of writing, shown as `\\u202e`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def count(num: int, one: str, many: str = "") -> str:
    """`1 group`, `1,200 groups`."""
    return f"{num:,} {one if num == 1 else many or one + 's'}"


def number(value: int) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,}"


def is_absent(value: float | None) -> bool:
    """Whether a figure is not known: None (as report.json has it) or NaN (as manifests do)."""
    return value is None or value != value


def decimal(value: float | None, form: str = ".2f") -> str:
    """A figure in Python's format `form`; a dash for one that is absent."""
    return "–" if value is None or is_absent(value) else format(value, form)


def percent(share: float | None, digits: int = 1) -> str:
    """0.0123 as 1.2 %; a dash for one that is absent."""
    return "–" if share is None or is_absent(share) else f"{100 * share:.{digits}f}\u00a0%"


def points(difference: float | None) -> str:
    """A difference of shares in points: 0.0123 as +1.23; a dash for one that is absent."""
    return "–" if difference is None or is_absent(difference) else f"{100 * difference:+.2f}"


def words(name: str) -> str:
    """A name of the manifest in words: `label_issue_coarse` as `label issue coarse`."""
    return name.replace("_", " ")
