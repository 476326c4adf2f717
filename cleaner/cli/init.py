"""`cleaner init`."""

from __future__ import annotations

from pathlib import Path

from cleaner.cli import options as o
from cleaner.cli.session import open_session
from cleaner.errors import UsageError


def init(
    workspace: o.WorkspaceDir = Path(),
    force: o.Force = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Write a cleaner.toml in which every setting stands, commented out, with what it means.

    Example: `cleaner init -C work/`
    """
    session = open_session(
        workspace, quiet=quiet, as_json=as_json, verbose=verbose, log_format=log_format, dry_run=dry_run, creates=True
    )
    from cleaner.config_sources import CONFIG_FILE, variable_names, write_template
    from cleaner.dataset.store import write_atomic

    path = workspace / CONFIG_FILE
    if path.exists() and not force:
        raise UsageError(f"{path}: is there already", next_step="edit it, or write it anew with --force")
    if not dry_run:
        write_atomic(path, write_template().encode())
    session.report_counts(f"init  {path}", {"settings": len(variable_names())}, following="scan IMAGES")
