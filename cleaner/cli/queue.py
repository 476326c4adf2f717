"""`cleaner queue`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.review import LOOKS, open_noise_model
from cleaner.cli.session import open_session

if TYPE_CHECKING:
    from cleaner.review.listing import OpenItem

_SHOWN = 20


@takes(*LOOKS, run=("device", "workers"))
def queue(
    line: CommandLine,
    name: Annotated[str, typer.Argument(**o.choice(*o.QUEUES) | {"metavar": "QUEUE"}, help=o.QUEUES_HELP)],
    limit: Annotated[
        int | None, typer.Option(min=1, help="List at most this many.", show_default=f"all with --json, else {_SHOWN}")
    ] = None,
) -> None:
    """List the undecided items of a review queue, in its order. A decided item leaves the list at once.

    With `--json`: `[{"file_name": …, "probability": …, "reason": …}]`, and `[]` when nothing is left. A program can
    answer with `cleaner decide`.

    Example: `cleaner queue labels --limit 20 --json`
    """
    session = open_session(line)
    from cleaner.review.listing import list_open

    noise = open_noise_model(session) if name == "noise" else None
    found = list_open(session.workspace, name, limit or (None if line.as_json else _SHOWN), noise)
    session.console.result([f"queue {name}  {found.num_left:,} left", *map(_row, found.items)])
    if found.items:
        session.console.result([f"next: {session.next_command(f'review {name}')}"])
    session.console.documents([item.document() for item in found.items])


def _row(item: OpenItem) -> str:
    prob = "     " if item.probability is None else f"{item.probability:.3f}"
    return f"  {prob}  {item.class_name or item.file_name}{f'  ({item.reason})' if item.reason else ''}"
