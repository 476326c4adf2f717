"""The program: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from cleaner import __version__
from cleaner.cli import (
    audit,
    balance,
    check,
    decide,
    decisions,
    diff,
    doctor,
    explain,
    export,
    init,
    labels,
    map,
    merge,
    noise,
    plan,
    queue,
    recipes,
    report,
    review,
    run,
    scan,
    status,
    train,
    verify,
)
from cleaner.cli.console import json_line, write_document
from cleaner.errors import CleanerError, UsageError
from cleaner.system_errors import explain_failure

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # as if SIGPIPE had ended it

app = typer.Typer(
    name="cleaner",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: list[Callable[..., None]] = [
    scan.scan,
    noise.noise,
    labels.labels,
    balance.balance,
    train.train,
    run.run,
    plan.plan,
    status.status,
    explain.explain,
    diff.diff,
    merge.merge,
    check.check,
    decide.decide,
    review.review,
    queue.queue,
    audit.audit,
    verify.verify,
    map.map,
    report.report,
    export.export,
    recipes.recipes,
    init.init,
    doctor.doctor,
]
for _command in _COMMANDS:
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

    Exit codes: 0 fine, 1 failure, 2 usage, 3 bad input, 4 a gate is not passed, 130 interrupted,
    141 nobody reads the output.
    """


def main() -> None:
    """Run the command line and end the process with its exit code.

    File names are UTF-8, whatever the locale: under any other one it begins again in Python's UTF-8 mode.
    """
    if sys.getfilesystemencoding().lower() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONUTF8": "1"})
    gc.set_threshold(100_000)  # what a start loads stays: the search for garbage in it took a tenth of the time
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be Unicode
    try:
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer and rich end the process without a word
            _end_quietly()
        if end.code == EXIT_INTERRUPTED:  # what typer makes of Ctrl-C
            _interrupted()
        if end.code == UsageError.exit_code and len(sys.argv) > 1:  # typer has written to stderr what was wrong
            _document({"what": "the command line is not valid", "next": "see stderr, and `cleaner --help`"}, 2)
        raise
    except KeyboardInterrupt:
        _interrupted()
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        known = error if isinstance(error, CleanerError) else explain_failure(error)
        _show(known or error)
        sys.exit(known.exit_code if known else 1)


def _end_quietly() -> None:
    """End as other programs do when nobody reads their output any more, as `head` does when it has seen enough."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # else the interpreter complains when it flushes them
        os.dup2(nowhere, stream)
    sys.exit(EXIT_BROKEN_PIPE)


def _interrupted() -> None:
    _tell("interrupted: finished work is kept; run the same command again to continue", "warning", before="\n")


def _show(error: Exception) -> None:
    if isinstance(error, CleanerError):
        _tell(str(error), "error", before="error: ")
        parts = {"what": error.what, "expected": error.expected, "found": error.found, "next": error.next_step}
        _document(parts, error.exit_code)
        return
    what = f"{type(error).__name__}: {error}"
    advice = "run it again with --debug and report what it shows"
    _tell(f"unexpected {what}\n  next: {advice}", "error", before="error: ")
    _document({"what": what, "next": advice}, 1)


def _tell(message: str, level: str, *, before: str) -> None:
    """Write a line to stderr without a console, whose own options may be what is wrong."""
    arguments = " ".join(sys.argv).replace("=", " ")
    if "--log-format json" in arguments:
        print(json_line(message, level), file=sys.stderr)
    else:
        print(f"{before}{message}", file=sys.stderr)


def _document(error: dict[str, str], exit_code: int) -> None:
    if "--json" in sys.argv:
        write_document({"error": error | {"exit_code": exit_code}})
