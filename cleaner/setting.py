"""What one setting is: an annotation that holds its type, range, choices and help text, and what follows from it."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from cleaner.errors import UsageError

_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class _Kind:
    one: str
    many: str
    metavar: str


_KINDS = {
    bool: _Kind("true or false", "", ""),
    int: _Kind("a whole number", "whole numbers", "INTEGER"),
    float: _Kind("a number", "numbers", "FLOAT"),
    str: _Kind("text", "texts", "TEXT"),
}


@dataclass(frozen=True)
class NamesFile:
    """Marks a setting that names a file or folder, or several of them."""

    role: str
    """The role of the stage's input whose digest stands for the file."""


@dataclass(frozen=True)
class Shown:
    """How a setting is typed and shown, where that does not follow from its name, type and default."""

    default: str = ""
    """The default in words where the value says nothing, such as `the recipe's` for 0."""
    _: dataclasses.KW_ONLY
    option: str | None = ""
    """The option where it is not called like the setting; None: there is none."""
    metavar: str = ""
    """What stands for the value in help."""
    panel: str = ""
    """The heading under which help lists the option, where it is not that of its class."""


class SettingError(UsageError):
    """A value that a setting cannot have; `setting` is its name."""

    def __init__(self, setting: str, value: Any, expected: str) -> None:
        super().__init__(f"setting {setting} = {value!r}", expected=expected)
        self.setting = setting


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as it is declared."""

    name: str
    hint: Any
    """Its annotation."""
    default: Any
    kind: type
    """bool, int, float or str: the type of its value, or of the items of a list."""
    is_list: bool
    choices: tuple[Any, ...]
    """The values that it, or an item, may have; () where any of its type and range will do."""
    limits: dict[str, float]
    """ge, gt, le and lt, where they are given."""
    help: str
    role: str
    """The role of the input that it names; '' if it names no file."""
    shown: Shown
    panel: str
    """The heading under which help lists its option; '' for the general one."""

    @property
    def option(self) -> str:
        """The option that gives it, '' if there is none."""
        return "" if self.shown.option is None else self.shown.option or "--" + self.name.replace("_", "-")

    @property
    def is_repeated(self) -> bool:
        """Whether its option is given once for each item; other lists are one text with commas between."""
        return self.is_list and self.kind is str and not self.choices

    @property
    def metavar(self) -> str:
        """What stands for its value in help: the choices, or what kind of value it is; '' for a switch."""
        choices = f"[{'|'.join(map(str, self.choices))}]" + (",…" if self.is_list else "")
        return self.shown.metavar or (choices if self.choices else _KINDS[self.kind].metavar)

    @property
    def default_text(self) -> str:
        """The default as help shows it: in words, or as it is typed; '' if nothing is set."""
        return self.shown.default or as_text(self.default)

    @property
    def expected(self) -> str:
        """What its value must be, for an error."""
        if self.choices:
            choices = list(map(str, self.choices))
            return f"any of {', '.join(choices)}" if self.is_list else " or ".join(choices)
        kind = _KINDS[self.kind]
        if self.is_list:
            return _joined(f"a list of {kind.many}", self._range and f"each {self._range}")
        return _joined(kind.one, self._range)

    @property
    def _range(self) -> str:
        limits = {name: as_text(value) for name, value in self.limits.items()}
        last = limits.get("le") or (f"{limits['lt']} (excluded)" if "lt" in limits else "")
        if "gt" in limits:
            return _joined(f"above {limits['gt']}", last and f"at most {last}")
        if "ge" not in limits:
            return ""
        means = self.shown.default and self.limits["ge"] == self.default
        first = f"{limits['ge']} ({self.shown.default})" if means else limits["ge"]
        return f"{first} .. {last}" if last else f"{first} or more"

    def as_options(self, value: Any) -> list[str]:
        """What is typed on the command line to give it `value`; nothing for None, False or a setting without option."""
        if not self.option or value is None or value is False:
            return []
        if self.kind is bool:
            return [self.option]
        if self.is_repeated:
            return [word for item in value for word in (self.option, as_text(item))]
        return [self.option, as_text(value) or ("none" if self.is_list else "")]

    def checked(self, value: Any) -> Any:
        """The value as the setting holds it: a list as a tuple, a path as text. Raises SettingError for a bad one."""
        held = value
        if self.is_list and value is not None and not isinstance(value, list | tuple):
            held = (value,)
        if self.role:
            held = tuple(map(_text_of, held)) if isinstance(held, list | tuple) else _text_of(held)
        try:
            held = msgspec.convert(held, self.hint)
        except msgspec.ValidationError:
            raise SettingError(self.name, value, self.expected) from None
        if isinstance(held, float) and not math.isfinite(held):
            raise SettingError(self.name, value, self.expected)
        return held

    def absolute(self, value: Any, folder: Path) -> Any:
        """`value` with the paths that it names taken from `folder`; unchanged if the setting names no file."""
        if isinstance(value, list | tuple):
            return tuple(self.absolute(item, folder) for item in value)
        is_path = self.role and isinstance(value, str | os.PathLike) and str(value)
        return str((folder / value).resolve()) if is_path else value

    def parse(self, text: str) -> Any:
        """Its value from text: lists have commas between, `none` is the empty one, and 1/3 is a number.

        Raises SettingError for a text that is no value of its type.
        """
        parts = [] if self.is_list and text.strip() in ("", "none") else text.split(",") if self.is_list else [text]
        try:
            values = tuple(self._parse_one(part.strip()) for part in parts)
        except (ValueError, KeyError, ArithmeticError):
            raise SettingError(self.name, text, self.expected) from None
        return values if self.is_list else values[0]

    def _parse_one(self, text: str) -> Any:
        if self.kind is bool:
            return _BOOLEANS[text.lower()]
        return float(Fraction(text)) if self.kind is float else self.kind(text)


def as_text(value: Any) -> str:
    """A value as it is typed on the command line; '' for None, an empty text or an empty list."""
    if isinstance(value, tuple | list):
        return ",".join(map(as_text, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return "" if value is None else str(value)


def read_declaration(name: str, annotation: Any, default: Any, panel: str) -> Setting:
    """The setting that an annotation declares; `panel` is that of its class."""
    hint, marks = _split(annotation)
    if isinstance(hint, types.UnionType):
        hint = next(h for h in typing.get_args(hint) if h is not types.NoneType)
    is_list = typing.get_origin(hint) is tuple
    if is_list:
        hint, more = _split(typing.get_args(hint)[0])
        marks = (*marks, *more)
    choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    shown = next((mark for mark in marks if isinstance(mark, Shown)), Shown())
    metas = [mark for mark in marks if isinstance(mark, msgspec.Meta)]
    limits = [(limit, getattr(meta, limit)) for meta in metas for limit in ("ge", "gt", "le", "lt")]
    return Setting(
        name=name,
        hint=annotation,
        default=default,
        kind=type(choices[0]) if choices else hint,
        is_list=is_list,
        choices=choices,
        limits={limit: value for limit, value in limits if value is not None},
        help=next((mark for mark in marks if isinstance(mark, str)), ""),
        role=next((mark.role for mark in marks if isinstance(mark, NamesFile)), ""),
        shown=shown,
        panel=shown.panel or panel,
    )


def read_pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """What is before and behind the first `=` of each text; several may stand in one, with commas between."""
    parts = [part for text in texts for part in re.split(r",(?=[^,=]+=)", text)]
    return [(key.strip(), value.strip()) for key, _, value in (part.partition("=") for part in parts)]


def _split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and what `Annotated` says of it."""
    if typing.get_origin(annotation) is typing.Annotated:
        return annotation.__origin__, annotation.__metadata__
    return annotation, ()


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _text_of(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
