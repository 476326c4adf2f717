"""Settings that belong together: frozen dataclasses whose fields are declared as `cleaner.setting` reads them.

`config.py` declares the settings; the settings file, the variables, the command line, `cleaner init` and docs/cli.md
are derived from the declarations. msgspec checks the values.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

from cleaner.setting import Setting, SettingError, read_declaration

S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class InputFile:
    """A file or folder that a setting names."""

    setting: str
    """The setting's name, `embedding.weights` for a nested one."""
    role: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the frozen dataclasses that hold settings: their values are checked when they are made.

    Raises SettingError for a value of another type or out of range.
    """

    PANEL: ClassVar[str] = ""
    """The heading under which help lists their options; '' for the general one."""

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

    def require(self, condition: bool, name: str, expected: str) -> None:
        """Raise SettingError for the setting `name` unless `condition` holds."""
        if not condition:
            raise SettingError(name, getattr(self, name), expected)

    def replace(self, **values: Any) -> Self:
        """A copy with `values` in place of its own, checked like a new one."""
        return dataclasses.replace(self, **values)

    def value(self, name: str) -> Any:
        """The value of a setting, a nested one as `embedding.image_size`."""
        return functools.reduce(getattr, name.split("."), cast(Any, self))

    def absolute(self, folder: Path) -> Self:
        """A copy in which the paths that settings name are taken from `folder`."""
        own = {name: setting.absolute(self.value(name), folder) for name, setting in self.declared().items()}
        return self.replace(**own, **{name: self.value(name).absolute(folder) for name in self.nested()})

    def as_record(self) -> dict[str, Any]:
        """Plain JSON values by name, as `stage.json` records them; those of the backbone in a dict of their own."""
        record = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}


@dataclass_transform(kw_only_default=True, frozen_default=True)
def declare(settings_type: type[S]) -> type[S]:
    """Make a class of settings a frozen dataclass; its docstring and signature tell `help` what each setting is."""
    made = dataclass(frozen=True, kw_only=True)(settings_type)
    texts = [f"{s.name}: {s.help}" for s in made.declared().values()]
    made.__doc__ = "\n".join([made.__doc__ or "", "", *texts])
    made.__init__.__annotations__ = typing.get_type_hints(made) | {"return": None}
    return made


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


@functools.cache
def _hints(settings_type: Any) -> dict[str, Any]:
    return typing.get_type_hints(settings_type, include_extras=True)


@functools.cache
def _read_fields(settings_type: Any) -> dict[str, Setting]:
    defaults = {field.name: field.default for field in dataclasses.fields(settings_type)}
    annotated = {n: hint for n, hint in _hints(settings_type).items() if typing.get_origin(hint) is typing.Annotated}
    return {n: read_declaration(n, hint, defaults[n], settings_type.PANEL) for n, hint in annotated.items()}
