"""File names as text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleaner.dataset.names import image_path, matching_names, to_file_name, to_path

_CHARACTERS = st.sampled_from([*"\\\\xu01fa9e2 /", "\x01", "\x7f", "\x85", "\u2028", "é", "\udcff", "\udc80"])


@settings(max_examples=200, deadline=None)
@given(st.text(_CHARACTERS, max_size=16))
def test_every_path_can_be_written_and_read_again(path: str) -> None:
    name = to_file_name(path)
    assert to_path(name) == path
    name.encode()
    assert all(part.isprintable() for part in name)


@pytest.mark.parametrize("name", [r"a\x2e\x2e/b", r"\x2fetc", r"\u002e\u002e/x", r"x\x00", r"\ud800"])
def test_no_escape_hides_a_dot_a_slash_or_an_impossible_byte(name: str) -> None:
    assert to_path(name) == name
    assert image_path(Path("/root"), name) == Path("/root", name)


def test_names_match_in_any_unicode_form_where_only_one_can_be_meant() -> None:
    known = ["a/u\u0308.jpg", "plain.jpg", "e\u0301.jpg", "\u00e9.jpg"]
    asked = pd.Series(["a/\u00fc.jpg", "plain.jpg", "\u00e9.jpg", "gone\u00e9.jpg"])
    assert matching_names(asked, known).tolist() == [known[0], "plain.jpg", "\u00e9.jpg", "gone\u00e9.jpg"]
    assert matching_names(pd.Series(["\u212b.jpg"]), ["\u00c5.jpg", "A\u030a.jpg"]).tolist() == ["\u212b.jpg"]
