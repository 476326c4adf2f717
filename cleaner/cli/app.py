"""The program: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import io
import json
import sys
from typing import Annotated

import typer

from cleaner import __version__
from cleaner.cli import balance, decisions, export, labels, noise, run, scan
from cleaner.errors import CleanerError

EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="cleaner",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (scan.scan, noise.noise, labels.labels, balance.balance, run.run, export.export):
    app.command()(_command)
app.add_typer(decisions.app, name="decisions")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cleaner {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with: `cleaner run IMAGES`, or stage by stage with `cleaner scan IMAGES`.")
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Clean a labelled image set that came from the web.

    Noise images, wrong labels, duplicates and jumbled classes go; every image that is left out has a reason.

    Exit codes: 0 fine, 1 failure, 2 usage, 3 bad input, 130 interrupted.
    """


def main() -> None:
    """Run the command line and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be Unicode
    try:
        app()
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # what typer makes of Ctrl-C
            _interrupted()
        raise
    except KeyboardInterrupt:
        _interrupted()
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        _show(error)
        sys.exit(error.exit_code if isinstance(error, CleanerError) else 1)


def _interrupted() -> None:
    print("\ninterrupted: what is finished is kept; the same command again goes on from there", file=sys.stderr)


def _show(error: Exception) -> None:
    if isinstance(error, CleanerError):
        print(f"error: {error}", file=sys.stderr)
        document = {"what": error.what, "expected": error.expected, "found": error.found, "next": error.next_step}
        exit_code = error.exit_code
    else:
        what = f"{type(error).__name__}: {error}"
        print(f"error: unexpected {what}\n  next: run it again with --debug and report what it shows", file=sys.stderr)
        document, exit_code = {"what": what}, 1
    if "--json" in sys.argv:
        print(json.dumps({"error": document | {"exit_code": exit_code}}, indent=2, ensure_ascii=False))
