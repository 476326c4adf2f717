"""What a setting is: a field of a frozen dataclass whose annotation holds its type, range, choices and help text.

`config.py` declares the settings; the settings file, the variables, the command line, `cleaner init` and docs/cli.md
are derived from the declarations. msgspec checks the values.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import types
import typing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, TypeVar, cast, dataclass_transform

import msgspec

from cleaner.errors import UsageError

_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


S = TypeVar("S", bound="Settings")


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
    panel: str | None = None
    """The heading under which help lists the option."""


@dataclass(frozen=True)
class InputFile:
    """A file or folder that a setting names."""

    setting: str
    """The setting's name, `embedding.weights` for a nested one."""
    role: str
    path: Path


class SettingError(UsageError):
    """An unknown setting, or a value that a setting cannot have; `setting` is its name."""

    def __init__(self, setting: str, what: str, expected: str) -> None:
        super().__init__(what, expected=expected)
        self.setting = setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the frozen dataclasses that hold settings: their values are checked when they are made.

    Raises SettingError for a value of another type or out of range.
    """

    def __post_init__(self) -> None:
        for name, setting in self.declared().items():
            value = getattr(self, name)
            if value is not setting.default:
                object.__setattr__(self, name, setting.checked(value))
        self.check()

    @classmethod
    def declared(cls) -> dict[str, Setting]:
        """The settings that this class declares with `Annotated`, by name and in order."""
        return _read_fields(cast(Any, cls))

    @classmethod
    def nested(cls) -> dict[str, type[Settings]]:
        """The classes of the settings that it holds as a whole, by name: `embedding`, or the tables of a file."""
        hints = _hints(cast(Any, cls))
        return {n: hint for n, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Settings)}

    @classmethod
    def flat(cls) -> dict[str, Setting]:
        """The settings that this class declares, and those of nested ones as `embedding.image_size`."""
        inner = {f"{name}.{key}": s for name, kind in cls.nested().items() for key, s in kind.flat().items()}
        return cls.declared() | inner

    def check(self) -> None:
        """Raise SettingError if values do not go together."""

    def replace(self, **values: Any) -> Self:
        """A copy with `values` in place of its own, checked like a new one."""
        return dataclasses.replace(self, **values)

    def value(self, name: str) -> Any:
        """The value of a setting, a nested one as `embedding.image_size`."""
        return functools.reduce(getattr, name.split("."), cast(Any, self))

    def absolute(self, folder: Path) -> Self:
        """A copy in which the paths that settings name are taken from `folder`."""
        own = {name: absolute(setting, self.value(name), folder) for name, setting in self.declared().items()}
        return self.replace(**own, **{name: self.value(name).absolute(folder) for name in self.nested()})

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values by name, as `stage.json` records them; those of the backbone in a dict of their own."""
        record = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}


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
            raise self.error(value) from None
        if isinstance(held, float) and not math.isfinite(held):
            raise self.error(value)
        return held

    def parse(self, text: str) -> Any:
        """Its value from text: lists have commas between, `none` is the empty one, and 1/3 is a number.

        Raises SettingError for a text that is no value of its type.
        """
        parts = [] if self.is_list and text.strip() in ("", "none") else text.split(",") if self.is_list else [text]
        try:
            values = tuple(self._parse_one(part.strip()) for part in parts)
        except (ValueError, KeyError, ArithmeticError):
            raise self.error(text) from None
        return values if self.is_list else values[0]

    def _parse_one(self, text: str) -> Any:
        if self.kind is bool:
            return _BOOLEANS[text.lower()]
        return float(Fraction(text)) if self.kind is float else self.kind(text)

    def error(self, value: Any) -> SettingError:
        """The error for a value that it cannot have."""
        return SettingError(self.name, f"setting {self.name} = {value!r}", self.expected)


def path_settings(settings_type: type[Settings]) -> dict[str, str]:
    """The settings that name a file or folder, nested ones as `embedding.weights`, each with its input's role."""
    return {name: setting.role for name, setting in settings_type.flat().items() if setting.role}


def input_files(settings: Settings) -> list[InputFile]:
    """Every file and folder that the settings name, one entry for each path."""
    found = []
    for name, role in path_settings(type(settings)).items():
        value = settings.value(name)
        paths = value if isinstance(value, tuple) else [value]
        found += [InputFile(name, role, Path(path)) for path in paths if path]
    return found


def absolute(setting: Setting, value: Any, folder: Path) -> Any:
    """`value` with the paths that it names taken from `folder`; unchanged if the setting names no file."""
    if isinstance(value, list | tuple):
        return tuple(absolute(setting, item, folder) for item in value)
    is_path = setting.role and isinstance(value, str | os.PathLike) and str(value)
    return str((folder / value).resolve()) if is_path else value


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


@dataclass_transform(kw_only_default=True, frozen_default=True)
def declare(settings_type: type[S]) -> type[S]:
    """Make a class of settings a frozen dataclass; its docstring and signature tell `help` what each setting is."""
    made = dataclass(frozen=True, kw_only=True)(settings_type)
    texts = [f"{s.name}: {s.help}" for s in made.declared().values()]
    made.__doc__ = "\n".join([made.__doc__ or "", "", *texts])
    made.__init__.__annotations__ = typing.get_type_hints(made) | {"return": None}
    return made


@functools.cache
def _hints(settings_type: Any) -> dict[str, Any]:
    return typing.get_type_hints(settings_type, include_extras=True)


@functools.cache
def _read_fields(settings_type: Any) -> dict[str, Setting]:
    defaults = {field.name: field.default for field in dataclasses.fields(settings_type)}
    annotated = {n: hint for n, hint in _hints(settings_type).items() if typing.get_origin(hint) is typing.Annotated}
    return {name: _read_field(name, hint, defaults[name]) for name, hint in annotated.items()}


def _read_field(name: str, annotation: Any, default: Any) -> Setting:
    hint, marks = _split(annotation)
    if isinstance(hint, types.UnionType):
        hint = next(h for h in typing.get_args(hint) if h is not types.NoneType)
    is_list = typing.get_origin(hint) is tuple
    if is_list:
        hint, more = _split(typing.get_args(hint)[0])
        marks = (*marks, *more)
    choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
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
        help=next((meta.description for meta in metas if meta.description), ""),
        role=next((mark.role for mark in marks if isinstance(mark, NamesFile)), ""),
        shown=next((mark for mark in marks if isinstance(mark, Shown)), Shown()),
    )


def _split(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and what `Annotated` says of it."""
    if typing.get_origin(annotation) is typing.Annotated:
        return annotation.__origin__, annotation.__metadata__
    return annotation, ()


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _text_of(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
