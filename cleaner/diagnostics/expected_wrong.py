"""How many wrong labels are to be expected among images that people may look at, in words."""

from __future__ import annotations


def about_wrong(expected: float | None, num: int) -> str:
    """`about 3 of them wrong`, for `num` images of which `expected` are wrong; '' where that is not known."""
    if expected is None or not num:
        return ""
    rounded = min(round(expected), num)
    return f"about {rounded:,} of them wrong" if rounded else "hardly one of them wrong"
