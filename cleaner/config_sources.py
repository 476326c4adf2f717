"""Where settings come from: `CLEANER_*` variables over `cleaner.toml` over defaults; and the file that `init` makes."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleaner import config as config_module
from cleaner.config import Config, nearest, read_config, with_values
from cleaner.errors import BadInputError, UsageError

CONFIG_FILE = "cleaner.toml"
PREFIX = "CLEANER_"
STAGES_THAT_EMBED = ("noise", "labels", "balance", "train", "verify")
_PATHS = {
    "scan": ("labels_file",), "noise": ("seeds",), "train": ("val", "teacher"), "verify": ("val",),
    "embedding": ("weights",),
}  # fmt: skip
"""The settings of each table that are paths."""
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def resolve_config(folder: Path, file: Path | None, environ: Mapping[str, str]) -> Config:
    """The settings of a run in the workspace `folder`: those of `file` (else its cleaner.toml), variables over them.

    Relative paths in a file are taken from that file's folder, in a variable from the current directory; both become
    absolute. Raises BadInputError for a bad file, UsageError for an unknown variable or a bad value of one.
    """
    if file is not None and not file.is_file():
        raise BadInputError(f"{file}: no such settings file", next_step="check --config")
    path = file or folder / CONFIG_FILE
    settings = {name: getattr(read_config(path), name) for name in table_names()}
    for table, keys in _PATHS.items():
        for key in keys:
            settings[table] = _with_absolute_path(settings[table], key, path.parent)
    for name, (table, key) in _variables(environ).items():
        value = parse_text(environ[name], _hint(table, key), name)
        settings[table] = with_values(settings[table], {key: value}, where=name)
        if key in _PATHS.get(table, ()):
            settings[table] = _with_absolute_path(settings[table], key, Path())
    for stage in STAGES_THAT_EMBED:
        settings[stage] = dataclasses.replace(settings[stage], embedding=settings["embedding"])
    return Config(**settings)


def table_names() -> list[str]:
    """The tables of a cleaner.toml."""
    return [f.name for f in dataclasses.fields(Config)]


def variable_names() -> dict[str, tuple[str, str]]:
    """Every variable that is read, with the table and the key that it sets."""
    default = Config()
    return {
        f"{PREFIX}{table}_{f.name}".upper(): (table, f.name)
        for table in table_names()
        for f in dataclasses.fields(getattr(default, table))
        if f.name != "embedding"
    }


def parse_text(text: str, hint: Any, where: str) -> Any:
    """A value of type `hint` from text, as a variable holds it; lists have commas between, `none` is the empty one.

    Raises UsageError naming `where` it stood.
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return parse_text(text, next(h for h in options if h is not type(None)), where)
    if origin is tuple:
        parts = [] if text.strip() in ("", "none") else text.split(",")
        return tuple(parse_text(part.strip(), options[0], where) for part in parts)
    try:
        if hint is bool:
            return _BOOLEANS[text.strip().lower()]
        return hint(text) if hint in (int, float) else text
    except (ValueError, KeyError) as error:
        raise UsageError(f"{where} = {text!r}", expected=f"a {hint.__name__}") from error


def write_template() -> str:
    """A cleaner.toml in which every setting stands, commented out, at its default, under what it means."""
    lines = [
        "# Settings of cleaner. A command's options win over CLEANER_* variables (CLEANER_NOISE_THRESHOLD=0.8), those",
        "# over this file, this file over the defaults, which stand here commented out.",
    ]
    for table in table_names():
        settings = getattr(Config(), table)
        texts = _docstrings(type(settings))
        lines += ["", f"# {(type(settings).__doc__ or '').strip().splitlines()[0]}", f"[{table}]"]
        for f in dataclasses.fields(settings):
            if f.name != "embedding":
                lines += [f"# {line.strip()}" for line in texts.get(f.name, "").splitlines()]
                lines.append(f"#{f.name} = {_as_toml(getattr(settings, f.name))}")
    return "\n".join(lines) + "\n"


def _variables(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    known = variable_names()
    given = [name for name in sorted(environ) if name.startswith(PREFIX) and name != "CLEANER_REQUIRE_BROWSER"]
    for name in given:
        if name not in known:
            close = nearest(name, [k.lower() for k in known])
            expected = close.upper().replace(", PERHAPS?", ", perhaps?") if close.endswith("perhaps?") else (
                "CLEANER_, a table of cleaner.toml, _ and a setting, such as CLEANER_NOISE_THRESHOLD"
            )  # fmt: skip
            raise UsageError(f"unknown variable {name}", expected=expected, next_step=f"unset {name}")
    return {name: known[name] for name in given}


def _hint(table: str, key: str) -> Any:
    return typing.get_type_hints(type(getattr(Config(), table)))[key]


def _with_absolute_path(settings: Any, key: str, folder: Path) -> Any:
    value = getattr(settings, key)
    if not value:
        return settings
    if isinstance(value, tuple):
        return dataclasses.replace(settings, **{key: tuple(str((folder / name).resolve()) for name in value)})
    return dataclasses.replace(settings, **{key: str((folder / value).resolve())})


def _docstrings(cls: type) -> dict[str, str]:
    """The text under each field of a settings class, which Python itself does not keep."""
    tree = ast.parse(inspect.getsource(config_module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    texts = {}
    for field, below in itertools.pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            assert isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            texts[field.target.id] = inspect.cleandoc(str(below.value.value))
    return texts


def _as_toml(value: Any) -> str:
    if value is None:
        return "[]  # unset by default"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_as_toml(v) for v in value) + "]"
    return repr(value)
