"""`cleaner doctor`."""

from __future__ import annotations

import dataclasses

from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.session import open_session


@takes(keys("embedding", but=("views",)), run=("device", "workers"))
def doctor(line: CommandLine) -> None:
    """Show what this machine has and what a run would use: versions, devices, backbone, free disk.

    Example: `cleaner doctor -C work/`
    """
    session = open_session(line, creates=True)
    from cleaner.diagnostics.doctor import examine

    options = session.options
    found = examine(line.workspace, session.config, device=options.device, workers=options.workers)
    lines = []
    for title, values in dataclasses.asdict(found).items():
        if isinstance(values, dict):
            lines += [title, *(f"  {name:<13}{_shown(name, value)}" for name, value in values.items())]
    problems = [f"problem: {p}" for p in found.problems] or ["no problems found"]
    session.console.result([*lines, *problems])
    session.console.document(dataclasses.asdict(found))


def _shown(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 1e9:,.1f} GB"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
