"""Writes docs/cli.md from the program itself: `python docs/generate_cli.py`. A test keeps the two alike."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer.main

from cleaner.cli.app import app
from cleaner.config_sources import variable_names

OUT = Path(__file__).with_name("cli.md")
_HEAD = """# Command-line reference

Written by `python docs/generate_cli.py` from the program; do not edit.

Results go to stdout, progress and messages to stderr. With `--json` stdout holds one JSON document and nothing else
(`docs/schemas/` holds their forms, `error.schema.json` that of a failure); with `--log-format json` each line on stderr
is a JSON object. `--quiet` leaves warnings and errors, `NO_COLOR=1` no colours; on a pipe each finished task is one
line.

| exit code | |
| --- | --- |
| 0 | fine |
| 1 | failure: another process holds the workspace, no space, a fault of the program |
| 2 | usage: the command line or a setting is not valid |
| 3 | bad input: a file that cannot be used, a stage that is missing or stale |
| 4 | a gate is not passed (`audit --fail-over`, `check --fail-over`, `verify --fail-on-hurt`) |
| 130 | interrupted; the same command again goes on from there |

**Settings**: the command line wins over `CLEANER_*` variables, these over `cleaner.toml` in the workspace (or
`--config FILE`), that over the defaults. `cleaner init` writes a cleaner.toml with every setting in it. A variable is
`CLEANER_`, the table, `_`, the setting; lists have commas between: `CLEANER_NOISE_THRESHOLD=0.8`,
`CLEANER_LABELS_TOP_K=5,1`. An unknown key or variable is an error. The variables are:

{variables}

**Shell completion**: `cleaner --install-completion` (bash, zsh, fish, PowerShell).
"""


def render() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    variables = ", ".join(f"`{name}`" for name in variable_names())
    parts = [_HEAD.replace("{variables}", variables)]
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        commands = {f"{name} {k}": v for k, v in inner.items()} if inner else {name: command}
        parts += [_section(k, v) for k, v in commands.items()]
    return "\n".join(parts)


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["cleaner", name, *(_argument(p) for p in arguments), "[OPTIONS]"])
    text = inspect.cleandoc(command.help or "")
    lines = [f"## cleaner {name}", "", text, "", f"    {usage}", ""]
    lines += [f"- `{_argument(p)}`: {p.help}" for p in arguments if p.help]
    lines += ["", "| option | | default |", "| --- | --- | --- |"]
    for option in command.params:
        if option.param_type_name == "option" and not option.hidden:
            lines.append(f"| {_names(option)} | {option.help or ''} | {_default(option)} |")
    return "\n".join([*lines, ""])


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _names(option: Any) -> str:
    names = ", ".join(f"`{n}`" for n in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    return f"{names} {option.metavar or 'VALUE'}".replace("|", "\\|")


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    if option.is_flag or option.count or option.default is None or option.show_default is False:
        return ""
    default = str(option.default)
    return "current directory" if option.name == "workspace" else default


if __name__ == "__main__":
    OUT.write_text(render(), encoding="utf-8")
