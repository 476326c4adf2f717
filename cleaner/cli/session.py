"""What a command needs before it can call its stage, and what it says afterwards.

Settings: command line over `CLEANER_*` variables over settings file over defaults. A relative path on the command line
or in a variable is relative to the current directory, one in a settings file to the folder of that file; all are made
absolute before they become a setting, and `stage.json` records them so: a record that said `seeds.csv` would not say
whose.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cleaner.cli.console import Console
from cleaner.config import Config, EmbeddingSettings, RunOptions
from cleaner.config_sources import CONFIG_FILE as CONFIG_FILE
from cleaner.config_sources import resolve_config
from cleaner.dataset.locations import locate
from cleaner.errors import BadInputError, UsageError
from cleaner.settings import SettingError, Settings

if TYPE_CHECKING:
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.stage_run import StageResult

NEXT = {"scan": "noise", "noise": "labels", "labels": "balance", "balance": "export --to folder OUT"}
"""The command that comes after each stage."""

S = TypeVar("S", bound=Settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a command: where, with what settings, shown how."""

    workspace: Workspace
    config: Config
    options: RunOptions
    console: Console
    from_command_line: tuple[str, ...] = ()
    """Those settings of the backbone that the command line gave, as `embedding.image_size`."""

    def run_args(self, settings: S, **values: Any) -> tuple[S, RunOptions]:
        """`settings` with the command line's `values` (None where not given) in, and the options, which name those."""
        names = [name for name, value in values.items() if value is not None and value != []]
        own = self.from_command_line if hasattr(settings, "embedding") else ()
        return given(settings, **values), self.options.replace(command_line=tuple(sorted([*names, *own])))

    def lock(self) -> AbstractContextManager[None]:
        """Keep others out of the workspace for a `with` block; in a dry run there is nothing to keep them from."""
        return nullcontext() if self.options.dry_run else self.workspace.lock()

    def next_command(self, command: str) -> str:
        """How to type `cleaner COMMAND` for this workspace."""
        where = "" if self.workspace.root == Path() else f" -C {shlex.quote(str(self.workspace.root))}"
        name, _, rest = command.partition(" ")
        return f"cleaner {name}{where}{' ' if rest else ''}{rest}"

    def report(self, result: StageResult) -> None:
        """All that the command of one stage has to say at its end."""
        self.show(result)
        self.finish([result])

    def show(self, result: StageResult) -> None:
        """What a stage did, on stdout; its warnings, on stderr."""
        for warning in result.warnings:
            self.console.warn(warning)
        if result.would_run:
            self.console.result([f"{result.record.stage:<8}would run: {result.would_run}"])
        else:
            self.console.result(_summary(result, self.workspace.manifest_path(result.record.stage)))

    def finish(self, results: list[StageResult]) -> None:
        """What to do next; and with --json, the document of the stages that ran."""
        if self.options.dry_run:
            self._finish_dry_run(results)
            return
        following = self.next_command(NEXT[results[-1].record.stage])
        self.console.result([f"next: {following}"])
        stages = [{"was_current": r.was_current} | dataclasses.asdict(r.record) for r in results]
        body = stages[0] if len(stages) == 1 else {"stages": stages}
        self.console.document({"workspace": str(self.workspace.root.resolve())} | body | {"next": following})

    def _finish_dry_run(self, results: list[StageResult]) -> None:
        self.console.result(["dry run: nothing was changed"])
        stages = [{"stage": r.record.stage, "would_run": bool(r.would_run), "why": r.would_run} for r in results]
        where = str(self.workspace.root.resolve())
        self.console.document({"workspace": where, "dry_run": True, "stages": stages})

    def report_counts(
        self, what: str, counts: dict[str, int], *, warnings: Iterable[str] = (), following: str = ""
    ) -> None:
        """All that a command without a stage has to say at its end: what it did, counted, and what to do next."""
        for warning in warnings:
            self.console.warn(warning)
        dry_run = self.options.dry_run
        self.console.result([what, f"  {listed(counts)}", *(["dry run: nothing was changed"] if dry_run else [])])
        following = self.next_command(following) if following and not dry_run else ""
        if following:
            self.console.result([f"next: {following}"])
        self.console.document({"did": what, "dry_run": dry_run, "counts": counts, "next": following})


def open_session(
    workspace: Path,
    *,
    config: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    engine: str = "local",
    address: str = "",
    storage: str = "",
    train_workers: int = 1,
    force: bool = False,
    quiet: bool = False,
    as_json: bool = False,
    verbose: int = 0,
    log_format: str = "text",
    dry_run: bool = False,
    creates: bool = False,
    images: Path | None = None,
    embedding: dict[str, Any] | None = None,
) -> Session:
    """Read the settings and open the workspace. `embedding`: values given on the command line, None where not.

    Raises UsageError for bad values, BadInputError for a settings file that is bad, `images` that are no folder, or a
    workspace that does not exist unless the command `creates` it.
    """
    from cleaner.dataset.workspace import Workspace

    one_of("--log-format", log_format, ("text", "json"))
    console = Console(quiet=quiet, as_json=as_json, json_log=log_format == "json")
    console.listen(verbose)
    if images is not None and not images.is_dir():  # before the lock makes the workspace
        raise BadInputError(
            f"{images}: {'not a folder' if images.exists() else 'no such folder'}",
            expected="the images root: a folder with one folder of images for each class",
            next_step="check the path, and run `cleaner scan IMAGES`",
        )
    if not creates and not workspace.is_dir():
        raise BadInputError(f"{workspace}: no such workspace", next_step="run `cleaner scan IMAGES -C DIR` first")
    one_of("--engine", engine, ("local", "ray"))
    options = RunOptions(
        seed=seed, device=device, workers=workers, engine="ray" if engine == "ray" or address else "local",
        address=address, storage=str(locate(storage).absolute()) if storage else "",
        train_workers=train_workers, force=force, dry_run=dry_run, progress=console,
    )  # fmt: skip
    values = embedding or {}
    return Session(
        workspace=Workspace(workspace),
        config=_with_embedding(resolve_config(workspace, config, os.environ), values),
        options=options,
        console=console,
        from_command_line=tuple(f"embedding.{name}" for name, value in values.items() if value is not None),
    )


def given(settings: S, **values: Any) -> S:
    """`settings` with the values that were given on the command line (those that are not None) put in."""
    try:
        return settings.replace(**{k: absolute(v) for k, v in values.items() if v is not None})
    except SettingError as error:
        raise UsageError(f"command line: {error.what}", expected=error.expected) from error


def absolute(value: Any) -> Any:
    """A path as an absolute one, in text; anything else as it is."""
    return str(value.resolve()) if isinstance(value, Path) else value


def one_of(option: str, value: str, allowed: Iterable[str]) -> None:
    """Raise UsageError unless the value of an option is an allowed one."""
    if value not in allowed:
        raise UsageError(f"{option} {value}", expected=" or ".join(allowed))


def _with_embedding(config: Config, values: dict[str, Any]) -> Config:
    embedding: EmbeddingSettings = given(config.embedding, **values)
    return dataclasses.replace(
        config,
        embedding=embedding,
        noise=dataclasses.replace(config.noise, embedding=embedding),
        labels=dataclasses.replace(config.labels, embedding=embedding),
        balance=dataclasses.replace(config.balance, embedding=embedding),
        train=dataclasses.replace(config.train, embedding=embedding),
        verify=dataclasses.replace(config.verify, embedding=embedding),
    )


def _summary(result: StageResult, manifest: Path) -> list[str]:
    record, counts = result.record, result.record.counts
    head = [f"{counts['rows']:,} files", f"{counts['kept']:,} kept", *filter(None, [record.backbone.get("name")])]
    head += [record.device, f"{record.seconds:,.1f} s"]
    if result.was_current:
        head.append("up to date, nothing done (--force runs it again)")
    lines = [f"{record.stage:<8}{' · '.join(head)}"]
    if counts["dropped"]:
        lines.append(f"  dropped here: {listed(counts['dropped'])}")
    rest = {k: v for k, v in counts.items() if k not in ("rows", "kept", "dropped")}
    lines += [f"  {_words(k)}: {listed(v)}" for k, v in rest.items() if isinstance(v, dict) and v]
    plain = {k: v for k, v in rest.items() if not isinstance(v, dict | list)}
    if plain:
        lines.append(f"  {listed(plain)}")
    return [*lines, f"  {manifest}"]


def _words(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


def listed(values: dict[str, Any]) -> str:
    """Counts by name, as people read them: `kept 1,472 · dropped 50`."""
    return " · ".join(f"{_words(k)} {f'{v:,}' if type(v) is int else v}" for k, v in values.items())
