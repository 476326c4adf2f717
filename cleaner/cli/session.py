"""What a command needs before it calls its stage, and how it reports the outcome."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from cleaner.cli.command_line import CommandLine
from cleaner.cli.console import Console
from cleaner.cli.options import LOG_FORMATS, check_choice
from cleaner.cli.summaries import counted, listed, summarize
from cleaner.config import Config, RunOptions
from cleaner.config_sources import TABLES, Key, foreign_variables, resolve_config
from cleaner.dataset.locations import locate
from cleaner.dataset.stage_inputs import command_after
from cleaner.errors import BadInputError, CleanerError
from cleaner.system_errors import require_address_space

if TYPE_CHECKING:
    from cleaner.dataset.workspace import StageRecord, Workspace
    from cleaner.stages.stage_run import StageResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a command: where, with what settings, shown how."""

    workspace: Workspace
    config: Config
    """The settings, those of the command line included."""
    options: RunOptions
    console: Console
    given: frozenset[Key] = frozenset()
    """The settings that the command line gave."""

    def options_of(self, stage: str) -> RunOptions:
        """The options of a stage's run, with the names of the settings that the command line gave it."""
        names = [name for table, name in self.given if table == stage]
        if "embedding" in TABLES[stage].nested():
            names += [f"embedding.{name}" for table, name in self.given if table == "embedding"]
        return self.options.replace(command_line=tuple(sorted(names)))

    def lock(self) -> AbstractContextManager[None]:
        """Keep others out of the workspace for a `with` block; in a dry run there is nothing to keep them from."""
        return nullcontext() if self.options.dry_run else self.workspace.lock()

    def next_command(self, command: str) -> str:
        """How to type `cleaner COMMAND` for this workspace."""
        where = "" if self.workspace.root == Path() else f" -C {shlex.quote(str(self.workspace.root))}"
        name, _, rest = command.partition(" ")
        return f"cleaner {name}{where}{' ' if rest else ''}{rest}"

    def next_line(self, command: str, *, starts_cold: bool = False) -> str:
        """The last line of a result; a noise stage that `starts_cold` does better after looks by a person."""
        before = f"{self.next_command('review noise')}, then " if starts_cold else ""
        return f"next: {before}{self.next_command(command)}"

    def report(self, result: StageResult) -> None:
        """Report the one stage that a command ran."""
        self.show(result)
        self.finish([result])

    def show(self, result: StageResult) -> None:
        """Write what a stage did to stdout, its warnings to stderr."""
        for warning in result.warnings:
            self.console.warn(warning)
        if result.would_run:
            self.console.result([f"{result.record.stage:<8}would run: {result.would_run}"])
        else:
            self.console.result(summarize(result, self.workspace.manifest_path(result.record.stage)))

    def finish(self, results: list[StageResult]) -> None:
        """Write what to do next, and with --json the document of the stages that ran.

        Raises BadInputError if a scan kept no image.
        """
        if self.options.dry_run:
            self._finish_dry_run(results)
            return
        last = results[-1].record
        command = "" if is_empty_scan(last) else command_after(last.stage)
        if command:
            self.console.result([self.next_line(command, starts_cold=self._starts_cold(command))])
        following = self.next_command(command) if command else ""
        stages = [{"was_current": r.was_current} | dataclasses.asdict(r.record) for r in results]
        body = stages[0] if len(stages) == 1 else {"stages": stages}
        self.console.document({"workspace": str(self.workspace.root.resolve())} | body | {"next": following})
        if is_empty_scan(last):
            self.fail(
                BadInputError(
                    f"{self.workspace.manifest_path(last.stage)}: no image is kept",
                    found=listed(last.counts.get("faults", {})),
                    next_step="see the warnings, mend the files or give another images root, and scan again",
                )
            )

    def _starts_cold(self, command: str) -> bool:
        if command != "noise":  # people's decisions matter to no other, and are not read for it
            return False
        from cleaner.dataset.verdicts import read_verdicts
        from cleaner.diagnostics.status import starts_cold

        return starts_cold(command, self.config, read_verdicts(self.workspace))

    def _finish_dry_run(self, results: list[StageResult]) -> None:
        self.console.result(["dry run: nothing was changed"])
        stages = [{"stage": r.record.stage, "would_run": bool(r.would_run), "why": r.would_run} for r in results]
        where = str(self.workspace.root.resolve())
        self.console.document({"workspace": where, "dry_run": True, "stages": stages})

    def report_dry_run(self, result: StageResult) -> None:
        """Report whether a stage would run, for one that has a summary of its own."""
        what = f"would run: {result.would_run}" if result.would_run else "up to date"
        self.console.result([f"{result.record.stage:<8}{what}"])
        self._finish_dry_run([result])

    def fail(self, error: CleanerError) -> NoReturn:
        """End the command with `error` after its result was shown."""
        if not self.console.as_json:
            raise error
        typer.echo(f"error: {error}", err=True)  # stdout has its one document already
        raise typer.Exit(error.exit_code)

    def report_counts(
        self, what: str, counts: dict[str, int], *, warnings: Iterable[str] = (), following: str = "", use: str = ""
    ) -> None:
        """Report a command that runs no stage: what it did, counted; the Python that can `use` it; what is next."""
        for warning in warnings:
            self.console.warn(warning)
        dry_run = self.options.dry_run
        self.console.result([what, f"  {counted(counts)}", *(["dry run: nothing was changed"] if dry_run else [])])
        if use and not dry_run:
            self.console.snippet(use)
        following = self.next_command(following) if following and not dry_run else ""
        if following:
            self.console.result([f"next: {following}"])
        document = {"did": what, "dry_run": dry_run, "counts": counts, "next": following}
        self.console.document(document | ({"use": use} if use else {}))


def open_session(line: CommandLine, *, creates: bool = False, images: Path | None = None) -> Session:
    """Read the settings and open the workspace.

    Raises UsageError for bad values, BadInputError for a settings file that is bad, `images` that are no folder, or a
    workspace that does not exist unless the command `creates` it.
    """
    from cleaner.dataset.workspace import Workspace

    require_address_space()
    check_choice("--log-format", line.log_format, LOG_FORMATS)
    console = Console(quiet=line.quiet, as_json=line.as_json, json_log=line.log_format == "json")
    console.listen(line.verbose)
    for warning in foreign_variables(os.environ):
        console.warn(warning)
    if images is not None and not images.is_dir():  # before the lock makes the workspace
        raise BadInputError(
            f"{images}: {'not a folder' if images.exists() else 'no such folder'}",
            expected="the images root: a folder with one folder of images for each class",
            next_step="check the path, and run `cleaner scan IMAGES`",
        )
    if not creates and not line.workspace.is_dir():
        raise BadInputError(f"{line.workspace}: no such workspace", next_step="run `cleaner scan IMAGES -C DIR` first")
    return Session(
        workspace=Workspace(line.workspace),
        config=resolve_config(line.workspace, line.config, os.environ, line.settings),
        options=_run_options(line.run, console),
        console=console,
        given=frozenset(line.settings),
    )


def _run_options(typed: Mapping[str, Any], console: Console) -> RunOptions:
    values = dict(typed, progress=console)
    if values.get("address"):
        values["engine"] = "ray"
    if values.get("storage"):
        values["storage"] = str(locate(values["storage"]).absolute())
    return RunOptions(**values)


def is_empty_scan(record: StageRecord) -> bool:
    """Whether a record is of a scan that kept no image: there is nothing for the other stages to do."""
    return record.stage == "scan" and record.counts.get("kept") == 0
