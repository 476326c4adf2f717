"""What the program writes: progress and messages to stderr, results to stdout."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from cleaner.progress import Task

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


_STYLES = {"warning": "yellow", "error": "red", "debug": "dim"}


class _Bar:
    """One bar on the screen."""

    def __init__(self, bars: RichProgress, task_id: TaskID) -> None:
        self._bars, self._task_id = bars, task_id

    def advance(self, num: int = 1) -> None:
        """Count `num` more finished units."""
        self._bars.advance(self._task_id, num)


class _Count:
    """A count that is not shown while it runs."""

    num_done = 0

    def advance(self, num: int = 1) -> None:
        """Count `num` more finished units."""
        self.num_done += num


class _Aside:
    """Stands in for `sys.stdout`: what a library prints there (Ray reports lost nodes) goes to stderr."""

    def __init__(self, results: TextIO) -> None:
        self.results = results

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _stdout() -> TextIO:
    """The stdout that `keep_stdout` keeps, or the plain one before it was called."""
    return cast(TextIO, getattr(sys.stdout, "results", sys.stdout))


def write_result(text: str) -> None:
    """Write text and a line feed to stdout, where only results go."""
    print(text, file=_stdout(), flush=True)


def write_document(document: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Write a JSON document where `write_result` writes."""
    write_result(json.dumps(document, indent=2, ensure_ascii=False))


def keep_stdout() -> None:
    """From here on only `write_result` reaches stdout: a script that reads it finds the result and nothing else."""
    if not isinstance(sys.stdout, _Aside):
        sys.stdout = cast(TextIO, _Aside(sys.stdout))


class Console:
    """`Progress` for the command line, and the one place that writes results.

    On a terminal, tasks are bars with the time left; elsewhere, one plain line when each is done. With `quiet` only
    warnings are shown; with `as_json` the result is one JSON document on stdout; with `json_log` every line on stderr
    is a JSON object: time_utc, level, message.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False, json_log: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.json_log = json_log
        self.warnings: list[str] = []
        self._stderr: RichConsole | None = None
        self._bars: RichProgress | None = None
        self._num_open = 0
        keep_stdout()

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """Open a bar of `total` units for the time of a `with` block."""
        if self.quiet:
            yield _Count()
        elif not self.json_log and self.stderr.is_terminal:
            with self._bar(name, total) as bar:
                yield bar
        else:
            started, count = time.monotonic(), _Count()
            yield count
            self._line(f"{name}  {count.num_done:,}/{total:,}  {time.monotonic() - started:.1f} s")

    def say(self, message: str) -> None:
        """Show a line on stderr that stays."""
        if not self.quiet:
            self._line(message)

    def warn(self, message: str) -> None:
        """Show a warning on stderr, once, and remember it for the JSON document."""
        if message not in self.warnings:
            self.warnings.append(message)
            self._line(message, "warning")

    def result(self, lines: list[str]) -> None:
        """Write lines of result to stdout, on a terminal folded and in colour; nothing with `quiet` or `as_json`."""
        if self.quiet or self.as_json:
            return
        if _stdout().isatty():
            self._show("\n".join(lines).split("\n"))
        else:
            write_result("\n".join(lines))

    def snippet(self, code: str) -> None:
        """Write lines of Python to stdout, in colours on a terminal; nothing with `quiet` or `as_json`."""
        if not (self.quiet or self.as_json):
            write_result(_coloured(code))

    def document(self, document: dict[str, Any]) -> None:
        """With `as_json`, write the result as JSON to stdout; call it once in a run."""
        if self.as_json:
            write_document(document | {"warnings": self.warnings})

    def documents(self, documents: list[dict[str, Any]]) -> None:
        """With `as_json`, write the result as a JSON list to stdout; warnings are on stderr alone."""
        if self.as_json:
            write_document(documents)

    @property
    def stderr(self) -> RichConsole:
        """The rich console on stderr; it knows terminals, NO_COLOR and TERM=dumb."""
        if self._stderr is None:
            from rich.console import Console as RichConsole

            self._stderr = RichConsole(file=sys.stderr, highlight=False)
        return self._stderr

    def listen(self, verbose: int) -> None:
        """Show what is logged: warnings; with `verbose` 1 this library's INFO messages, with 2 DEBUG too."""
        root = logging.getLogger()
        for handler in [h for h in root.handlers if isinstance(h, _ToConsole)]:
            root.removeHandler(handler)
        root.addHandler(_ToConsole(self))
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
        logging.getLogger("cleaner").setLevel(logging.WARNING if self.quiet else level)

    def log(self, message: str, level: str) -> None:
        """Show a line on stderr whatever `quiet` says. `level`: debug, info, warning or error."""
        self._line(message, level)

    def _line(self, text: str, level: str = "info") -> None:
        if self.json_log:
            print(json_line(text, level), file=sys.stderr, flush=True)
            return
        shown = f"{level}: {text}" if level in ("warning", "error") else text
        # markup off: file names may hold square brackets; soft_wrap: the terminal breaks lines, not rich
        self.stderr.print(shown, style=_STYLES.get(level), markup=False, soft_wrap=True)

    def _show(self, lines: list[str]) -> None:
        from rich.console import Console as RichConsole

        from cleaner.cli.layout import fold, highlighter, theme

        shown = RichConsole(file=_stdout(), theme=theme(), highlighter=highlighter())
        for line in lines:
            for part in fold(line, shown.width):
                shown.print(part, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Task]:
        if self._bars is None:
            self._bars = _rich_progress(self.stderr)
            self._bars.start()
        bars, self._num_open = self._bars, self._num_open + 1
        try:
            yield _Bar(bars, bars.add_task(name, total=total))
        finally:
            self._num_open -= 1
            if self._num_open == 0:  # the last one closes the live display, and the bars stay as lines
                bars.stop()
                self._bars = None


class _ToConsole(logging.Handler):
    """Hands what is logged to a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        self._console.log(record.getMessage(), record.levelname.lower())


def _coloured(code: str) -> str:
    """Lines of Python, indented, with the colours that stdout shows."""
    from rich.console import Console as RichConsole
    from rich.syntax import Syntax

    shown = RichConsole(file=_stdout(), soft_wrap=True)
    if not shown.is_terminal or shown.no_color:
        return "\n".join(f"  {line}" for line in code.splitlines())
    with shown.capture() as capture:
        shown.print(Syntax(code, "python", theme="ansi_dark", background_color="default").highlight(code), end="")
    return "\n".join(f"  {line}" for line in capture.get().splitlines())


def json_line(message: str, level: str) -> str:
    """One message as a JSON object on one line."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time_utc": now, "level": level, "message": message.strip()}, ensure_ascii=False)


def _rich_progress(console: RichConsole) -> RichProgress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
