"""`cleaner verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.session import Session, open_session
from cleaner.errors import GateError, first_few

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult

_VERDICTS = {"helped": "helped", "hurt": "hurt", "cannot_tell": "cannot tell"}
_MAX_NAMED = 8


@takes(keys("verify"), keys("embedding"), run=("seed", "device", "workers", "force", "dry_run"))
def verify(
    line: CommandLine,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Another manifest or keep-list to compare with; repeatable."),
    ] = None,
    fail_on_hurt: Annotated[bool, typer.Option("--fail-on-hurt", help="Exit 4 if the verdict is `hurt`.")] = False,
    from_file: o.FromFile = None,
) -> None:
    """Is a model trained on the cleaned set better than one trained on what you had? Helped, hurt, or cannot tell.

    Trains on both with one recipe, the same seeds and the same number of steps, and tests on held-out images.

    Example: `cleaner verify --val val/ --fail-on-hurt`
    """
    session = open_session(line)
    from cleaner.dataset.stage_documents import VERIFICATION, read_verification
    from cleaner.stages.verify import run_verify

    with session.lock():
        options = session.options_of("verify")
        result = run_verify(session.workspace, session.config.verify, options, from_file, against or [])
    if session.options.dry_run:
        session.report_dry_run(result)
        return
    folder = session.workspace.stage_dir("verify")
    document: dict[str, Any] = {**read_verification(folder)}
    _show(session, result, document, folder / VERIFICATION)
    if fail_on_hurt and document["verdict"] == "hurt":
        session.fail(_hurt(session, document))


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
        lines += [f"  classes {name}: {len(labels):,}: {first_few(labels, _MAX_NAMED)}"] if labels else []
    return lines


def _comparison(result: dict[str, Any]) -> str:
    points = " .. ".join(f"{100 * result[end]:+.2f}" for end in ("low", "high"))
    change = f"{100 * result['mean']:+.2f} points (95 %: {points})"
    return f"  {result['after']} against {result['before']}: {change}: {_VERDICTS[result['verdict']]}"


def _hurt(session: Session, document: dict[str, Any]) -> GateError:
    return GateError(
        "verify: a model trained on the cleaned set is worse than one trained on the raw set",
        expected="no difference, or a better one",
        found=_comparison(document["comparisons"][0]).strip(),
        next_step=session.next_command("report") + ", then look at the classes that were hurt",
    )
