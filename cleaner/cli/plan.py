"""`cleaner plan`."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.session import open_session

if TYPE_CHECKING:
    from cleaner.stages.plan import Plan

_LONG_S = 3600


@takes(keys("embedding"), run=("seed", "device", "workers"))
def plan(
    line: CommandLine,
    images: o.Images,
    files: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Plan for so many files like these.", show_default="as many as there are"
        ),
    ] = None,
) -> None:
    """Estimate time, memory and disk of a whole run on this machine, from a short trial on the images themselves.

    Example: `cleaner plan photos/`
    """
    session = open_session(line, creates=True, images=images)
    from cleaner.stages.plan import plan_run

    found = plan_run(images.absolute(), session.config, session.options, num_files=files or 0)
    following = session.next_command(f"run {images}")
    session.console.result([*_lines(found), f"next: {following}"])
    session.console.document(dataclasses.asdict(found) | {"next": following})


def _lines(found: Plan) -> list[str]:
    size = f"{found.num_files:,} files · {found.num_bytes / 1e6:,.0f} MB · {found.num_classes:,} classes"
    rates = f"{found.scan_rate:,.0f} files a second scanned · {found.embedding_rate:,.0f} images a second embedded"
    return [
        f"plan    {size} · {found.num_tried:,} tried in {found.trial_s:,.0f} s",
        f"  {rates}",
        *(f"  {name:<11}{_duration(seconds):>9}" for name, seconds in found.seconds.items()),
        f"  {'total':<11}{_duration(found.total_s):>9}",
        *_on_machines(found),
        f"  memory {_sizes(found.total_memory_bytes, found.memory_bytes)}",
        f"  disk {_sizes(found.total_disk_bytes, found.disk_bytes)}",
    ]


def _on_machines(found: Plan) -> list[str]:
    """What a cluster would bring, where a run takes an hour or more."""
    if found.total_s < _LONG_S:
        return []
    listed = (f"{num} {_duration(s)}" for num, s in found.seconds_on_machines.items() if num != "1")
    return [f"  on machines like this one: {' · '.join(listed)}"]


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


def _sizes(total: int, parts: dict[str, int]) -> str:
    listed = " · ".join(f"{name} {num / 1e6:,.0f}" for name, num in parts.items())
    return f"{total / 1e6:,.0f} MB at most: {listed}"
