"""Writes docs/settings.md from the declarations: `python docs/generate_settings.py`. A test keeps the two alike."""

from __future__ import annotations

from pathlib import Path

from cleaner.config_sources import TABLES
from cleaner.setting import Setting
from cleaner.settings import Settings

OUT = Path(__file__).with_name("settings.md")
_HEAD = """# Settings

Written by `python docs/generate_settings.py` from the program; do not edit.

Each heading is a table of `cleaner.toml`, which `cleaner init` writes with every setting in it. A setting can be given
in four places, and the first of these counts: the command line, a `CLEANER_*` variable, `cleaner.toml`, the default.
The variable of a setting is `CLEANER_`, the table, `_` and the setting: `CLEANER_NOISE_THRESHOLD=0.8`. The options
are in [the reference of commands](cli.md). In Python the same settings are classes:
`cleaner.NoiseSettings(threshold=0.8)`.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(name, kind) for name, kind in TABLES.items())])


def _section(table: str, kind: type[Settings]) -> str:
    first = (kind.__doc__ or "").strip().splitlines()[0]
    lines = [f"## `[{table}]`", "", first, "", "| setting | must be | default | |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_row(setting) for setting in kind.declared().values()), ""])


def _row(setting: Setting) -> str:
    cells = [f"`{setting.name}`", setting.expected, setting.default_text or "none", setting.help]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    OUT.write_text(render(), encoding="utf-8")
