"""What a command needs before it can call its stage, and what it says afterwards.

Settings: command line over settings file over defaults. A relative path on the command line is relative to the current
directory, one in a settings file to the folder of that file; both are made absolute before they become a setting,
and `stage.json` records them so. A record that said `seeds.csv` would not say whose, and the same file named from
another directory would count as another setting and make the stage stale.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cleaner.cli.console import Console
from cleaner.config import Config, EmbeddingSettings, RunOptions, read_config, with_values
from cleaner.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.lifecycle import StageResult

CONFIG_FILE = "cleaner.toml"
NEXT = {"scan": "noise", "noise": "labels", "labels": "balance", "balance": "export --to folder OUT"}
"""The command that comes after each stage."""

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a command: where, with what settings, shown how."""

    workspace: Workspace
    config: Config
    options: RunOptions
    console: Console

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
        self.console.result(_summary(result, self.workspace.manifest_path(result.record.stage)))

    def finish(self, results: list[StageResult]) -> None:
        """What to do next; and with --json, the document of the stages that ran."""
        following = self.next_command(NEXT[results[-1].record.stage])
        self.console.result([f"next: {following}"])
        stages = [{"was_current": r.was_current} | dataclasses.asdict(r.record) for r in results]
        body = stages[0] if len(stages) == 1 else {"stages": stages}
        self.console.document({"workspace": str(self.workspace.root.resolve())} | body | {"next": following})

    def report_counts(
        self, what: str, counts: dict[str, int], *, warnings: Iterable[str] = (), following: str = ""
    ) -> None:
        """All that a command without a stage has to say at its end: what it did, counted, and what to do next."""
        for warning in warnings:
            self.console.warn(warning)
        self.console.result([what, f"  {_listed(counts)}"])
        if following:
            self.console.result([f"next: {self.next_command(following)}"])
        self.console.document({"did": what, "counts": counts, "next": following and self.next_command(following)})


def open_session(
    workspace: Path,
    *,
    config: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    force: bool = False,
    quiet: bool = False,
    as_json: bool = False,
    creates: bool = False,
    embedding: dict[str, Any] | None = None,
) -> Session:
    """Read the settings and open the workspace. `embedding`: values given on the command line, None where not.

    Raises UsageError for bad values, BadInputError for a settings file that is bad, or a workspace that does not exist
    unless the command `creates` it.
    """
    from cleaner.dataset.workspace import Workspace

    if not creates and not workspace.is_dir():
        raise BadInputError(f"{workspace}: no such workspace", next_step="run `cleaner scan IMAGES -C DIR` first")
    console = Console(quiet=quiet, as_json=as_json)
    options = RunOptions(seed=seed, device=device, workers=workers, force=force, progress=console)
    settings = _with_embedding(_read_settings(workspace, config), embedding or {})
    return Session(workspace=Workspace(workspace), config=settings, options=options, console=console)


def given(settings: Settings, **values: Any) -> Settings:
    """`settings` with the values that were given on the command line (those that are not None) put in."""
    return with_values(settings, {k: absolute(v) for k, v in values.items()}, where="command line")


def absolute(value: Any) -> Any:
    """A path as an absolute one, in text; anything else as it is."""
    return str(value.resolve()) if isinstance(value, Path) else value


def one_of(option: str, value: str, allowed: Iterable[str]) -> None:
    """Raise UsageError unless the value of an option is an allowed one."""
    if value not in allowed:
        raise UsageError(f"{option} {value}", expected=" or ".join(allowed))


def _read_settings(workspace: Path, path: Path | None) -> Config:
    if path is not None and not path.is_file():
        raise BadInputError(f"{path}: no such settings file", next_step="check --config")
    file = path or workspace / CONFIG_FILE
    config = read_config(file)

    def beside(name: str) -> str:
        return str((file.parent / name).resolve()) if name else ""

    return dataclasses.replace(
        config,
        scan=dataclasses.replace(config.scan, labels_file=beside(config.scan.labels_file)),
        noise=dataclasses.replace(config.noise, seeds=beside(config.noise.seeds)),
        embedding=dataclasses.replace(config.embedding, weights=beside(config.embedding.weights)),
    )


def _with_embedding(config: Config, values: dict[str, Any]) -> Config:
    embedding: EmbeddingSettings = given(config.embedding, **values)
    return dataclasses.replace(
        config,
        embedding=embedding,
        noise=dataclasses.replace(config.noise, embedding=embedding),
        labels=dataclasses.replace(config.labels, embedding=embedding),
        balance=dataclasses.replace(config.balance, embedding=embedding),
    )


def _summary(result: StageResult, manifest: Path) -> list[str]:
    record, counts = result.record, result.record.counts
    head = [f"{counts['rows']:,} files", f"{counts['kept']:,} kept", *filter(None, [record.backbone.get("name")])]
    head += [record.device, f"{record.seconds:,.1f} s"]
    if result.was_current:
        head.append("up to date, nothing done (--force runs it again)")
    lines = [f"{record.stage:<8}{' · '.join(head)}"]
    if counts["dropped"]:
        lines.append(f"  dropped here: {_listed(counts['dropped'])}")
    rest = {k: v for k, v in counts.items() if k not in ("rows", "kept", "dropped")}
    lines += [f"  {_words(k)}: {_listed(v)}" for k, v in rest.items() if isinstance(v, dict) and v]
    plain = {k: v for k, v in rest.items() if not isinstance(v, dict | list)}
    if plain:
        lines.append(f"  {_listed(plain)}")
    return [*lines, f"  {manifest}"]


def _words(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


def _listed(values: dict[str, Any]) -> str:
    return " · ".join(f"{_words(k)} {f'{v:,}' if type(v) is int else v}" for k, v in values.items())
