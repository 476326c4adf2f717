"""`cleaner verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.cli.session import Session, open_session
from cleaner.errors import GateError

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult

_SAID = {"helped": "helped", "hurt": "hurt", "cannot_tell": "cannot tell"}
_MAX_NAMED = 8


def verify(
    workspace: o.WorkspaceDir = Path(),
    val: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Class folders with images that cleaning never saw.",
            show_default="audited images, else held-out splits",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Another manifest or keep-list to compare with; repeatable."),
    ] = None,
    num_seeds: Annotated[
        int | None, typer.Option(help="How often each set is learned.", show_default="5; finetune 3")
    ] = None,
    fail_on_hurt: Annotated[bool, typer.Option("--fail-on-hurt", help="Exit 4 if the verdict is `hurt`.")] = False,
    from_file: o.FromFile = None,
    config: o.ConfigFile = None,
    learner: o.LearnerName = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    image_size: o.ImageSize = None,
    precision: o.Precision = None,
    views: o.Views = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    workers: o.Workers = 0,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Is a model trained on the cleaned set better than one trained on what you had? Helped, hurt, or cannot tell.

    Trains with one recipe, the same seeds and the same number of steps on both, and asks both about held-out images.

    Example: `cleaner verify --val val/ --fail-on-hurt`
    """
    session = open_session(
        workspace, config=config, seed=seed, device=device, workers=workers, force=force, quiet=quiet, as_json=as_json,
        verbose=verbose, log_format=log_format, dry_run=dry_run,
        embedding={
            "backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision, "views": views,
        },
    )  # fmt: skip
    settings, options = session.run_args(session.config.verify, val=val, num_seeds=num_seeds, learner=learner)
    from cleaner.stages.verify import DOCUMENT, run_verify

    with session.lock():
        result = run_verify(session.workspace, settings, options, from_file, against or [])
    if dry_run:
        session.console.result([f"verify  {f'would run: {result.would_run}' if result.would_run else 'up to date'}"])
        session.finish([result])
        return
    path = session.workspace.stage_dir("verify") / DOCUMENT
    document = json.loads(path.read_text(encoding="utf-8"))
    _show(session, result, document, path)
    if fail_on_hurt and document["verdict"] == "hurt":
        _fail(session, document, as_json=as_json)


def _show(session: Session, result: StageResult, document: dict[str, Any], path: Path) -> None:
    for warning in document.pop("warnings"):
        session.console.warn(warning)
    following = session.next_command("report")
    session.console.result([*_lines(result, document), f"  {path}", f"next: {following}"])
    head = {"workspace": str(session.workspace.root.resolve()), "was_current": result.was_current}
    session.console.document(head | document | {"next": following})


def _lines(result: StageResult, document: dict[str, Any]) -> list[str]:
    test, record = document["test"], result.record
    head = f"verify  {test['images']:,} held-out images · {test['where']} · {len(document['seeds'])} seeds"
    head += f" · {record.backbone.get('name')} · {record.device} · {record.seconds:,.1f} s"
    if result.was_current:
        head += " · up to date, nothing done (--force runs it again)"
    lines = [head, f"  {'learned from':<20}{'images':>10}{'classes':>10}{'accuracy':>11}{'mean of classes':>18}"]
    lines += [
        f"  {s['name']:<20}{s['images']:>10,}{s['classes']:>10,}{s['accuracy']:>11.2%}{s['mean_class_accuracy']:>18.2%}"
        for s in document["sets"]
    ]
    lines += [_comparison(c) for c in document["comparisons"]]
    for name in ("hurt", "helped", "emptied"):
        labels = document[f"classes_{name}"]
        lines += [f"  classes {name}: {_named(labels)}"] if labels else []
    return lines


def _comparison(result: dict[str, Any]) -> str:
    points = " .. ".join(f"{100 * result[end]:+.2f}" for end in ("low", "high"))
    change = f"{100 * result['mean']:+.2f} points (95 %: {points})"
    return f"  {result['after']} against {result['before']}: {change}: {_SAID[result['verdict']]}"


def _named(labels: list[str]) -> str:
    more = len(labels) - _MAX_NAMED
    return f"{len(labels):,}: " + ", ".join(labels[:_MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _fail(session: Session, document: dict[str, Any], *, as_json: bool) -> None:
    error = GateError(
        "verify: a model trained on the cleaned set is worse than one trained on the raw set",
        expected="no difference, or a better one",
        found=_comparison(document["comparisons"][0]).strip(),
        next_step=session.next_command("report") + ", then look at the classes that were hurt",
    )
    if not as_json:
        raise error
    typer.echo(f"error: {error}", err=True)  # stdout holds its one document already
    raise typer.Exit(error.exit_code)
