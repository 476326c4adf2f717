"""`cleaner report`."""

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session
from cleaner.errors import UsageError


@takes()
def report(
    line: CommandLine,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Page to write.", show_default="report.html in the workspace"),
    ] = None,
) -> None:
    """Write report.html and report.json: what was found, with pictures, and what is left. They need no network.

    The figures stand beside the page, under its name with .json.

    Example: `cleaner report -C work/`
    """
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}", expected="a name that ends in .html")
    session = open_session(line)
    from cleaner.report.build import write_report

    result = write_report(session.workspace, session.console, out)
    if result.stale:
        session.console.warn(f"the report shows a result that is out of date: {result.stale}")
    size = f"{result.num_pictures:,} pictures · {result.num_bytes / 1e6:.1f} MB"
    session.console.result([f"report  {result.html}", f"  {size} · {result.json}"])
    files = {"html": str(result.html.resolve()), "json": str(result.json.resolve()), "bytes": result.num_bytes}
    pictures = {"pictures": result.num_pictures, "images_gone": result.num_gone}
    session.console.document(files | pictures | {"stale": result.stale})
