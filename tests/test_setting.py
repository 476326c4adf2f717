"""What a setting accepts, from any source, and how it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cleaner.errors import UsageError
from cleaner.setting import SettingError
from tests.support.settings import Sample

SETTINGS = Sample.declared()


@pytest.mark.parametrize(
    ("name", "value", "held"),
    [
        ("share", 1, 1.0),
        ("top_k", [3, 1], (3, 1)),
        ("splits", "val", ("val",)),
        ("kinds", [], ()),
        ("kinds", None, None),
        ("table", Path("a.csv"), "a.csv"),
        ("teachers", [Path("a"), "b"], ("a", "b")),
    ],
)
def test_values_as_they_are_held(name: str, value: Any, held: Any) -> None:
    got = getattr(Sample(**{name: value}), name)
    assert got == held and type(got) is type(held)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("share", 0, "a number, above 0, at most 1"),
        ("share", "0.5", "a number, above 0, at most 1"),
        ("share", True, "a number, above 0, at most 1"),
        ("share", float("nan"), "a number, above 0, at most 1"),
        ("rounds", -1, "a whole number, 0 (no limit) or more"),
        ("rounds", 1.5, "a whole number, 0 (no limit) or more"),
        ("size", 1024, "a whole number, 32 .. 1024 (excluded)"),
        ("views", True, "1 or 2"),
        ("views", 3, "1 or 2"),
        ("rule", "best", "auto or recipe"),
        ("kinds", ["rough"], "any of coarse, fine"),
        ("top_k", [0], "a list of whole numbers, each 1 or more"),
        ("splits", [1], "a list of texts"),
        ("fast", 1, "true or false"),
        ("table", 5, "text"),
    ],
)
def test_values_that_are_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingError) as error:
        Sample(**{name: value})
    assert error.value.setting == name and error.value.expected == expected and repr(value) in error.value.what
    with pytest.raises(UsageError):
        Sample().replace(**{name: value})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("share", "1/3", 1 / 3),
        ("share", " 0.1", 0.1),
        ("rounds", "12", 12),
        ("views", "1", 1),
        ("fast", "Yes", True),
        ("top_k", "5, 1", (5, 1)),
        ("kinds", "none", ()),
        ("splits", "val,test", ("val", "test")),
        ("rule", "recipe", "recipe"),
    ],
)
def test_values_from_text(name: str, text: str, value: Any) -> None:
    assert SETTINGS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [("share", "half"), ("share", "1/0"), ("share", "inf"), ("rounds", "1.5"), ("fast", "maybe"), ("top_k", "5,x")],
)
def test_text_that_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingError) as error:
        SETTINGS[name].parse(text)
    assert error.value.expected == SETTINGS[name].expected


def test_how_a_setting_is_shown() -> None:
    assert (SETTINGS["rounds"].default_text, SETTINGS["top_k"].default_text) == ("no limit", "5,1")
    assert (SETTINGS["kinds"].default_text, SETTINGS["share"].default_text) == ("", "0.5")
    assert (SETTINGS["rule"].metavar, SETTINGS["kinds"].metavar) == ("[auto|recipe]", "[coarse|fine],…")
    assert (SETTINGS["size"].metavar, SETTINGS["fast"].metavar) == ("INTEGER", "")
    assert (SETTINGS["top_k"].option, SETTINGS["table"].option, SETTINGS["hidden"].option) == (
        "--top-k",
        "--labels",
        "",
    )
    assert "inner" not in SETTINGS and SETTINGS["share"].help == "A share."


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("share", 0.123456789, ["--share", "0.123456789"]),
        ("share", 1.0, ["--share", "1"]),
        ("splits", ["val", "test"], ["--splits", "val", "--splits", "test"]),
        ("top_k", [5, 1], ["--top-k", "5,1"]),
        ("kinds", [], ["--kinds", "none"]),
        ("kinds", None, []),
        ("fast", True, ["--fast"]),
        ("fast", False, []),
        ("hidden", 4, []),
    ],
)
def test_what_is_typed_for_a_value(name: str, value: Any, words: list[str]) -> None:
    assert SETTINGS[name].as_options(value) == words
