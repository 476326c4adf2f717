"""HTML that cannot be forgotten to be escaped: text is escaped unless a function here made it.

`tag("p", "1 < 2")` is `<p>1 &lt; 2</p>`. Labels and file names are other people's input: besides the five characters
of HTML, control characters and those that turn the direction of writing are shown by their number.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

_VOID = ("img", "meta", "input", "br", "link")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Safe(str):
    """Markup that is complete and escaped."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | Iterable[Child] | None"
"""What may stand in an element: text, numbers, None (nothing), or any nesting of them."""


def visible(text: str) -> str:
    """`text` with characters that are not seen, or that move others, shown as `\\u202e`."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def escape(child: Child) -> Safe:
    """A child as markup; floats are for attributes of drawings and lose trailing digits."""
    if child is None:
        return Safe("")
    if isinstance(child, Safe):
        return child
    if isinstance(child, str):
        return Safe(html.escape(visible(child), quote=True))
    if isinstance(child, float):
        return Safe(f"{child:.2f}".rstrip("0").rstrip("."))
    if isinstance(child, int):
        return Safe(child)
    return Safe("".join(escape(c) for c in child))


def tag(element: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Safe:
    """An element. `cls` is the class; underscores become dashes; an attribute that is None or False is left out."""
    parts = [element]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = "class" if key == "cls" else key if key == "viewBox" else key.replace("_", "-")
        parts.append(key if value is True else f'{key}="{escape(value)}"')
    head = " ".join(parts)
    return Safe(f"<{head}>") if element in _VOID else Safe(f"<{head}>{escape(children)}</{element}>")


def join(*children: Child) -> Safe:
    """Several pieces one after the other."""
    return escape(children)


def breakable(text: str) -> Safe:
    """A label that may be broken after `_`, `-`, `/` and `.`, where a narrow place asks for it."""
    return Safe("".join(f"{escape(part)}<wbr>" for part in re.split(r"(?<=[_\-/.])(?=\w)", text)).removesuffix("<wbr>"))


def count(num: int, one: str, many: str = "") -> str:
    """`1 group`, `1,200 groups`."""
    return f"{num:,} {one if num == 1 else many or one + 's'}"


def number(value: int) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,}"


def percent(share: float | None, digits: int = 1) -> str:
    """0.0123 as 1.2 %; a dash for None and NaN."""
    if share is None or share != share:
        return "–"
    return f"{100 * share:.{digits}f}\u00a0%"


def words(name: str) -> str:
    """A name of the manifest in words: `label_issue_coarse` as `label issue coarse`."""
    return name.replace("_", " ")


def section(ident: str, title: str, lead: Child, *body: Child) -> Safe:
    """One section of the page."""
    return tag("section", tag("h2", title), tag("p", lead, cls="lead"), *body, id=ident)


def card(title: str, *body: Child, note: Child = None, cls: str = "card") -> Safe:
    """A framed figure with a title, and what it says below."""
    return tag("figure", tag("h3", title), *body, tag("figcaption", note) if note else None, cls=cls)
