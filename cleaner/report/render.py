"""The only place that makes HTML: the templates, and what their expressions go through.

Labels and file names are other people's input. Jinja escapes every expression; before that, `_printed` shows control
characters and those that change the direction of writing by their number.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cleaner.report.wording import count, decimal, number, percent, points, visible, words


def render_page(figures: dict[str, Any], illustrations: dict[str, dict[str, Any]], warnings: list[str]) -> str:
    """The whole document: `figures` is the content of report.json, `illustrations` the charts and galleries by section.

    It never asks the network: its policy allows its own style and script, pictures inside the page, and
    originals that lie on the same disk or server.
    """
    style = read_static("report.css")
    script = read_static("report.js") + read_static("map.js")
    root = figures["provenance"]["images_root"]
    return (
        load_templates()
        .get_template("page.html.j2")
        .render(
            figures=figures,
            illustrations=illustrations,
            warnings=warnings,
            policy=policy_of(style, script),
            style=Markup(style),
            script=Markup(script),
            root=root,
            name=root.rstrip("/").rsplit("/", 1)[-1],
        )
    )


def policy_of(style: str, script: str) -> str:
    """The content security policy of a page with this style and script and nothing else."""
    return (
        f"default-src 'none'; img-src data: 'self' file:; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def read_static(name: str) -> str:
    """A file of the report's own style or script."""
    return files("cleaner.report").joinpath("static", name).read_text(encoding="utf-8")


@cache
def load_templates() -> Environment:
    """The templates of the report. A name that is not there is an error, not an empty string."""
    environment = Environment(
        loader=PackageLoader("cleaner.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "count": count,
        "decimal": decimal,
        "number": number,
        "percent": percent,
        "points": points,
        "words": words,
    }
    return environment


def _printed(value: Any) -> Any:
    """An expression's value as it goes on to be escaped. Floats are coordinates and lose trailing digits."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return "" if value is None else value


def _breakable(text: str) -> Markup:
    """A label that may be broken after `_`, `-`, `/` and `.` where space is short."""
    parts = re.split(r"(?<=[_\-/.])(?=\w)", text)
    return Markup("<wbr>").join(escape(visible(part)) for part in parts)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
