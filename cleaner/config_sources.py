"""Where settings come from: options over `CLEANER_*` variables over `cleaner.toml` over defaults; and `init`'s file."""

from __future__ import annotations

import difflib
import json
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cleaner.config import Config
from cleaner.errors import BadInputError, CleanerError, UsageError
from cleaner.reading import reading
from cleaner.setting import Setting, SettingError
from cleaner.settings import Settings

CONFIG_FILE = "cleaner.toml"
PREFIX = "CLEANER_"
TABLES = Config.nested()
"""The tables of a cleaner.toml and the class of each."""
Key = tuple[str, str]
"""A table and the name of a setting in it."""


@dataclass(frozen=True)
class Given:
    """A value that was given for a setting, and where."""

    value: Any
    where: str
    """For errors: the file and table, the variable or the option."""
    file: Path | None = None
    """The settings file that it stands in."""


def read_config(path: Path) -> Config:
    """The settings of a `cleaner.toml`; defaults where the file does not exist or does not name a setting.

    Relative paths are taken from the file's folder and become absolute. Raises BadInputError if the file is no TOML or
    holds an unknown table or setting, or a value that a setting cannot have.
    """
    return _build(_from_file(path))


def resolve_config(
    folder: Path, file: Path | None, environ: Mapping[str, str], options: Mapping[Key, Given] | None = None
) -> Config:
    """The settings of a run in the workspace `folder`: those of `file` (by default its cleaner.toml), variables over
    them, `options` over both.

    Relative paths in a variable are taken from the current directory. Raises BadInputError for a bad file, UsageError
    for a bad value of a variable or an option. Variables of other names are left to others: see `foreign_variables`.
    """
    if file is not None and not file.is_file():
        raise BadInputError(f"{file}: no such settings file", next_step="check --config")
    return _build(_from_file(file or folder / CONFIG_FILE) | _from_environment(environ) | dict(options or {}))


def variable_names() -> dict[str, Key]:
    """Every variable that is read, with the table and the setting that it gives."""
    keys = [(table, name) for table, settings_type in TABLES.items() for name in settings_type.declared()]
    return {f"{PREFIX}{table}_{name}".upper(): (table, name) for table, name in keys}


def foreign_variables(environ: Mapping[str, str]) -> list[str]:
    """A warning about each variable that begins with CLEANER_ and gives no setting: misspelt, or somebody else's."""
    known = [name.removeprefix(PREFIX) for name in variable_names()]
    given = [name.removeprefix(PREFIX) for name in sorted(environ) if name.startswith(PREFIX)]
    near = {name: _closest(name, known) for name in given if name not in known}
    return [
        f"variable {PREFIX}{name} gives no setting and is ignored{f': {PREFIX}{other}' if other else ''}"
        for name, other in near.items()
    ]


def parse_typed(setting: Setting, typed: str | list[str] | bool, where: str) -> Any:
    """The value that was typed for a setting: text of a variable or an option, a list of texts, or a switch.

    Raises UsageError, naming `where` it was typed, for text that is no value of its type.
    """
    try:
        return setting.parse(typed) if isinstance(typed, str) else typed
    except SettingError as error:
        raise UsageError(f"{where}: {error.what}", expected=error.expected) from None


def give(key: Key, typed: str | list[str] | bool, where: str) -> Given:
    """A setting's value as `parse_typed` reads it, with paths taken from the current directory."""
    setting = TABLES[key[0]].declared()[key[1]]
    return Given(setting.absolute(parse_typed(setting, typed, where), Path()), where)


def write_template() -> str:
    """A cleaner.toml with every setting commented out, at its default and under its help text."""
    lines = [
        "# Settings of cleaner. A command's options win over CLEANER_* variables (CLEANER_NOISE_THRESHOLD=0.8), those",
        "# over this file, this file over the defaults, which stand here commented out.",
    ]
    for table, settings_type in TABLES.items():
        lines += ["", f"# {(settings_type.__doc__ or '').strip().splitlines()[0]}", f"[{table}]"]
        for setting in settings_type.declared().values():
            lines += textwrap.wrap(setting.help, 118, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"#{setting.name} = {_as_toml(setting)}")
    return "\n".join(lines) + "\n"


def _build(given: Mapping[Key, Given]) -> Config:
    parts: dict[str, Settings] = {}
    for table, settings_type in TABLES.items():
        mine = {name: value for (t, name), value in given.items() if t == table}
        try:
            parts[table] = settings_type(**{name: one.value for name, one in mine.items()})
        except SettingError as error:
            raise _located(error, mine) from None
    for table, part in parts.items():
        if "embedding" in TABLES[table].nested():
            parts[table] = part.replace(embedding=parts["embedding"])
    return Config(**cast(Any, parts))


def _located(error: SettingError, given: Mapping[str, Given]) -> CleanerError:
    """An error that says where the value stands; one of values that do not go together may name one not given."""
    one = given.get(error.setting) or next(iter(given.values()))
    what = f"{one.where}: {error.what}"
    if one.file is None:
        return UsageError(what, expected=error.expected)
    return BadInputError(what, expected=error.expected, next_step=f"mend {one.file} and run again")


def _from_file(path: Path) -> dict[Key, Given]:
    if not path.exists():
        return {}
    mend = f"mend {path} and run again"
    with reading(path, "settings file (TOML)", mend):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    given: dict[Key, Given] = {}
    for table, values in tables.items():
        if table not in TABLES or not isinstance(values, dict):
            advice = f"mend {path}; `cleaner init` writes one with every setting in it"
            raise BadInputError(f"{path}: unknown table [{table}]", expected=nearest(table, TABLES), next_step=advice)
        known, where = TABLES[table].declared(), f"{path} [{table}]"
        for name, value in values.items():
            if name not in known:
                what = f"{where}: unknown setting {name!r}"
                raise BadInputError(what, expected=nearest(name, known), next_step=mend)
            given[table, name] = Given(known[name].absolute(value, path.parent), where, path)
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[Key, Given]:
    return {key: give(key, environ[name], name) for name, key in sorted(variable_names().items()) if name in environ}


def nearest(name: str, known: Iterable[str]) -> str:
    """What to expect in place of an unknown `name`: the known one that looks most like it, else all of them."""
    return _closest(name, known) or f"one of {', '.join(sorted(known))}"


def _closest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    return next((f"{k}, perhaps?" for k in known if k.lower() in found), "")


def _as_toml(setting: Setting) -> str:
    if setting.default is None:
        return "[]  # unset by default"
    return json.dumps(setting.default)  # TOML writes texts, numbers, booleans and lists as JSON does
