"""`cleaner merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session
from cleaner.errors import UsageError


@takes(run=("workers", "yes"))
def merge(
    line: CommandLine,
    shards: Annotated[list[Path], typer.Argument(metavar="WORK…", help="Workspaces that hold a scan each.")],
) -> None:
    """Make one scan of several that were made apart: equal to a scan over all, without reading the images again.

    Names begin with the name of their images root. Decisions, embeddings and comparisons come along.

    Example: `cleaner merge shard-1/ shard-2/ -C both/`
    """
    if len(shards) < 2:
        raise UsageError("merge: one workspace only", expected="two or more, and -C for the workspace to write")
    if line.workspace.resolve() in [shard.resolve() for shard in shards]:
        raise UsageError(
            f"{line.workspace} is one of those that are merged", next_step="name another workspace: -C both/"
        )
    session = open_session(line, creates=True)
    from contextlib import ExitStack

    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.merge import run_merge

    opened = [Workspace(shard) for shard in shards]
    with ExitStack() as stack:
        for shard in opened:
            if shard.root.is_dir():
                stack.enter_context(shard.lock_for_reading())
        stack.enter_context(session.lock())
        result = run_merge(opened, session.workspace, session.options)
    session.report(result)
