"""Templates: what they escape and what they refuse."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jinja2 import UndefinedError

from cleaner.report.render import load_templates
from tests.support.report_page import Page


def render(source: str, **values: Any) -> str:
    return load_templates().from_string(source).render(values)


@pytest.mark.parametrize(
    "text", ['"><script>alert(1)</script>', "a' onmouseover='x", "\u202egpj.exe", "nul\x00", "\ud800", "&amp;", "<b>"]
)
def test_text_is_escaped_and_what_is_not_seen_is_shown(text: str) -> None:
    made = render('<p title="{{ text }}">{{ text }}</p>', text=text)
    page = Page(made)
    assert [name for name, _ in page.tags] == ["p"]
    assert set(page.all("p")[0]) == {"title"}
    made.encode()  # no lone surrogate is left
    assert not re.search("[\x00\u202e]", made)
    if text.isprintable():
        assert page.all("p")[0]["title"] == "".join(page.text) == text


def test_labels_break_where_words_end() -> None:
    assert render("{{ text|breakable }}", text="a_b/<c>") == "a_<wbr>b/&lt;c&gt;"
    assert render("{{ text|breakable }}", text="\u202e_<c>") == "\\u202e_&lt;c&gt;"


def test_none_is_empty_and_coordinates_are_short() -> None:
    assert render("{{ a }}{{ b }} {{ c }} {{ d }}", a=None, b="<i>", c=1.50, d=3) == "&lt;i&gt; 1.5 3"


def test_a_name_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("{{ figures.nothing }}", figures={})
