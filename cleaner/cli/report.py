"""`cleaner report`."""

from pathlib import Path

from cleaner.cli import options as o
from cleaner.cli.session import open_session


def report(
    workspace: o.WorkspaceDir = Path(),
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Write report.html and report.json: what was found, with pictures, and what is left. Opens without a network.

    Example: `cleaner report -C work/`
    """
    session = open_session(workspace, quiet=quiet, as_json=as_json, verbose=verbose, log_format=log_format)
    from cleaner.report.build import write_report

    result = write_report(session.workspace, session.console)
    if result.stale:
        session.console.warn(f"the report is of a result that is out of date: {result.stale}")
    session.console.result(
        [
            f"report  {result.html}",
            f"  {result.num_pictures:,} pictures · {result.num_bytes / 1e6:.1f} MB · {result.json}",
        ]
    )
    session.console.document(
        {
            "html": str(result.html.resolve()), "json": str(result.json.resolve()), "bytes": result.num_bytes,
            "pictures": result.num_pictures, "images_gone": result.num_gone, "stale": result.stale,
        }
    )  # fmt: skip
