"""`cleaner queue`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session

if TYPE_CHECKING:
    from cleaner.review.listing import OpenItem

_SHOWN = 20


@takes()
def queue(
    line: CommandLine,
    name: Annotated[str, typer.Argument(**o.choice(*o.QUEUES) | {"metavar": "QUEUE"}, help=o.QUEUES_HELP)],
    limit: Annotated[
        int | None, typer.Option(min=1, help="List this many at most.", show_default=f"all with --json, else {_SHOWN}")
    ] = None,
) -> None:
    """List what is left of a queue of the review page, in its order; what was decided is taken out at once.

    With `--json`: `[{"file_name": …, "probability": …, "reason": …}]`, and `[]` when nothing is left. With
    `cleaner decide` a program can play the person.

    Example: `cleaner queue labels --limit 20 --json`
    """
    session = open_session(line)
    from cleaner.review.listing import list_open

    items = list_open(session.workspace, name)
    shown = items[: limit or (len(items) if line.as_json else _SHOWN)]
    session.console.result([f"queue {name}  {len(items):,} left", *map(_row, shown)])
    if items:
        session.console.result([f"next: {session.next_command(f'review {name}')}"])
    session.console.documents([item.document() for item in shown])


def _row(item: OpenItem) -> str:
    prob = "     " if item.probability is None else f"{item.probability:.3f}"
    return f"  {prob}  {item.class_name or item.file_name}{f'  ({item.reason})' if item.reason else ''}"
