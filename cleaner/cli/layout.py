"""Lines of results as a terminal shows them: broken where they may break, with colour for what matters."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from rich.highlighter import RegexHighlighter
    from rich.theme import Theme

_COLUMN_GAP = re.compile(r"\S  +(?=\S)")


def fold(line: str, width: int) -> list[str]:
    """Break a line that is wider than `width` at ` · `, else at spaces, and indent what follows below its last column.

    A word that is wider, such as a path or a command to copy, is left whole for the terminal to wrap.
    """
    if len(line) <= width:
        return [line]
    hang = _hanging(line, width)
    lines, rest = [], line
    while len(rest) > width:
        cut = rest.rfind(" · ", hang + 1, width + 1)
        end = cut + 2 if cut > 0 else rest.rfind(" ", hang + 1, width + 1)
        if end <= hang:
            end = rest.find(" ", width)
        if end < 0:
            break
        lines.append(rest[:end].rstrip())
        rest = " " * hang + rest[end:].lstrip()
    return [*lines, rest] if rest.strip() else lines


def _hanging(line: str, width: int) -> int:
    """Where the last column begins, if it begins in the left half; else two more than the line's own indentation."""
    starts = [match.end() for match in _COLUMN_GAP.finditer(line, 0, width // 2)]
    return starts[-1] if starts else len(line) - len(line.lstrip()) + 2


@cache
def highlighter() -> RegexHighlighter:
    """What is coloured in results: the state of a stage, what to type next, who must look."""
    from rich.highlighter import RegexHighlighter

    class Highlighter(RegexHighlighter):
        base_style = "cleaner."
        highlights: ClassVar[list[str]] = [
            r"^  \w+ +(?P<good>complete)\b",
            r"^  \w+ +(?P<waits>stale|interrupted)\b",
            r"^  \w+ +(?P<absent>missing)\b",
            r"^next: (?P<command>.+)",
            r"  ·  (?P<command>cleaner .+)$",
            r"^(?P<head>scan|noise|labels|balance|audit|export|report|verify|train|workspace)\b",
            r"^(?P<waits>waits for people)$",
        ]

    return Highlighter()


@cache
def theme() -> Theme:
    """The colours of `highlighter`, for light and dark terminals."""
    from rich.theme import Theme

    styles = {"good": "green", "waits": "yellow", "absent": "dim", "command": "bold cyan", "head": "bold"}
    return Theme({f"cleaner.{name}": style for name, style in styles.items()})
