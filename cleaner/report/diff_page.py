"""The page of `cleaner diff`: what changed between two results, in one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from cleaner import __version__
from cleaner.dataset.store import utc_now, write_atomic
from cleaner.diagnostics.diff import Difference
from cleaner.report.render import load_templates, policy_of, read_static

_MOST_IMAGES = 2000
"""Images that the page lists; the others are counted."""


def write_diff_page(path: Path, found: Difference) -> None:
    """Write the page of `found` to `path`."""
    style = read_static("report.css")
    page = (
        load_templates()
        .get_template("diff.html.j2")
        .render(
            found=found,
            sides={"A": found.a, "B": found.b},
            images=found.images.head(_MOST_IMAGES).to_dict("records"),
            num_more=max(0, len(found.images) - _MOST_IMAGES),
            policy=policy_of(style, ""),
            style=Markup(style),  # our own file
            version=__version__,
            now=utc_now("seconds"),
        )
    )
    write_atomic(path, page.encode())
