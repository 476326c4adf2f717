"""`cleaner init`."""

from typing import Annotated

import typer

from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session
from cleaner.errors import UsageError


@takes(run=("dry_run",))
def init(
    line: CommandLine,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing cleaner.toml.")] = False,
) -> None:
    """Write a cleaner.toml with every setting commented out, at its default and under its description.

    Example: `cleaner init -C work/`
    """
    session = open_session(line, creates=True)
    from cleaner.config_sources import CONFIG_FILE, variable_names, write_template
    from cleaner.dataset.store import write_atomic

    path = line.workspace / CONFIG_FILE
    if path.exists() and not force:
        raise UsageError(f"{path}: already exists", next_step="edit it, or overwrite it with --force")
    if not session.options.dry_run:
        write_atomic(path, write_template().encode())
    session.report_counts(f"init  {path}", {"settings": len(variable_names())}, following="scan IMAGES")
