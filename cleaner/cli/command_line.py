"""The options of settings and of runs, generated from their declarations, and what was typed for them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.config import RunOptions
from cleaner.config_sources import TABLES, Given, Key, give, parse_typed
from cleaner.setting import Setting

STAGE = ("seed", "device", "workers", "engine", "address", "storage", "force", "dry_run")
"""The run options of a stage whose tasks may run on a cluster."""
_SHARED: dict[str, tuple[Any, Any]] = {
    "workspace": (o.Workspace, Path()),
    "config": (o.Config, None),
    "quiet": (o.Quiet, False),
    "verbose": (o.Verbose, 0),
    "as_json": (o.Json, False),
    "log_format": (o.LogFormat, "text"),
    "debug": (o.Debug, False),
}
"""The options of every command, those of settings files where it reads one, with annotation and default."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What was typed for the options that commands share."""

    workspace: Path = Path()
    config: Path | None = None
    settings: Mapping[Key, Given] = field(default_factory=dict)
    """Values of settings by table and name."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Values of run options by name."""
    quiet: bool = False
    verbose: int = 0
    as_json: bool = False
    log_format: str = "text"

    def or_else(self, key: Key, value: Any, option: str) -> CommandLine:
        """A copy in which `option` gives a setting its value, unless the setting's own option was typed."""
        return dataclasses.replace(self, settings={key: Given(value, option)} | dict(self.settings))


def keys(table: str, *names: str, but: Iterable[str] = ()) -> tuple[Key, ...]:
    """The settings of a table that have an option: those of `names`, by default all `but` some."""
    own = [setting.name for setting in TABLES[table].declared().values() if setting.option]
    return tuple((table, name) for name in names or own if name not in but)


def takes(
    *settings: tuple[Key, ...], run: Iterable[str] = (), config: bool = False, but: Iterable[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `settings`, with `--config`, those of `run`, and those of all commands `but` some.

    The command's first parameter receives what was typed for them, a `CommandLine`; the others are its own options.
    """
    chosen = {f"{table}_{name}": (table, name) for part in settings for table, name in part}
    declared = {parameter: TABLES[table].declared()[name] for parameter, (table, name) in chosen.items()}
    options = {name: RunOptions.declared()[name] for name in run}
    shared = [name for name in _SHARED if name not in but and (name != "config" or config or chosen)]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()

        def command(**values: Any) -> None:
            typed = {name: value for name, value in values.items() if value not in (None, [])}
            line = CommandLine(
                settings={k: give(k, typed[p], declared[p].option) for p, k in chosen.items() if p in typed},
                run={n: parse_typed(s, typed[n], s.option) for n, s in options.items() if n in typed},
                **{name: values[name] for name in shared if name != "debug"},  # main() reads --debug by itself
            )
            function(line, **{parameter.name: values[parameter.name] for parameter in own})

        parameters = _in_order(own, declared, options, shared)
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _option(name: str, setting: Setting) -> Parameter:
    """The option of a setting; its value stays text until the setting parses it, as it does a variable's."""
    kind: Any = bool if setting.kind is bool else list[str] if setting.is_repeated else str
    option = typer.Option(
        setting.option,
        help=f"{setting.help} Repeatable." if setting.is_repeated else setting.help,
        metavar=setting.metavar or None,
        show_default=(setting.kind is not bool and setting.default_text) or False,
        rich_help_panel=setting.panel or None,
    )
    return _keyword(name, Annotated[kind | None, option], None)


def _keyword(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _in_order(
    own: list[Parameter], settings: Mapping[str, Setting], options: Mapping[str, Setting], shared: list[str]
) -> list[Parameter]:
    """All parameters as help lists them: what the command is about comes first, what all commands have comes last."""
    placed = [(0 if _is_argument(parameter) else 3, parameter) for parameter in own]
    placed += [(5 if setting.panel else 2, _option(name, setting)) for name, setting in settings.items()]
    placed += [(6, _option(name, option)) for name, option in options.items()]
    placed += [({"workspace": 1, "config": 4}.get(name, 7), _keyword(name, *_SHARED[name])) for name in shared]
    in_order = [parameter for _, parameter in sorted(placed, key=lambda one: one[0])]
    return [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in in_order]


def _is_argument(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation.__metadata__[0], typer.models.ArgumentInfo)
