"""`cleaner audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import Session, open_session
from cleaner.dataset.stage_inputs import STAGES
from cleaner.errors import GateError, UsageError

if TYPE_CHECKING:
    from cleaner.audit.results import AuditResult
    from cleaner.scoring.audit import Estimate


@takes()
def audit(
    line: CommandLine,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of kept images to review.",
            show_default="as many as show the goal if none of them is noise",
        ),
    ] = None,
    sample_dropped: Annotated[
        int, typer.Option(min=0, help="Number of dropped images to review for each drop reason.")
    ] = 50,
    stage: Annotated[
        str | None,
        typer.Option(
            **o.choice(*STAGES),
            help="Stage whose manifest to audit.",
            show_default="the last complete one",
        ),
    ] = None,
    fail_over: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Exit 4 unless the whole sample is reviewed and the bound on noise that was kept is at most this.",
            show_default="no gate",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
) -> None:
    """Estimate what was missed and what was wrongly dropped, from random samples that people review blind.

    Draws a sample if this manifest has none, and shows the estimates from the verdicts so far. Review the images with
    `cleaner review audit`. A larger --sample adds images to the sample.

    Example: `cleaner audit --fail-over 0.01`
    """
    if fail_over is not None and not 0 < fail_over < 1:
        raise UsageError(f"--fail-over {fail_over}", expected="a share between 0 and 1, such as 0.01")
    session = open_session(line)
    from cleaner.audit.draw import open_audit
    from cleaner.audit.results import DEFAULT_GOAL, compute_results

    goal = DEFAULT_GOAL if fail_over is None else fail_over
    with session.workspace.lock():
        drawn, did = open_audit(
            session.workspace, stage, num_kept=sample, num_dropped=sample_dropped, goal=goal, seed=seed
        )
    result = compute_results(session.workspace, drawn, goal)
    following = _following(session, result)
    gate = None if fail_over is None else {"fail_over": fail_over, "passed": result.passes}
    session.console.result([*_lines(result, did), *([f"next: {following}"] if following else [])])
    document: dict[str, Any] = {"workspace": str(session.workspace.root.resolve()), "did": did or "nothing drawn"}
    session.console.document(document | result.document() | {"gate": gate, "next": following})
    if fail_over is not None and not result.passes:
        session.fail(_gate_error(result, following))


def _following(session: Session, result: AuditResult) -> str:
    if not result.is_complete:
        return session.next_command("review audit")
    more = result.num_more_looks
    if more:
        kept = next(s.num_sampled for s in result.strata if s.name == "kept")
        return session.next_command(f"audit --sample {kept + more}")
    return session.next_command("report") if more == 0 else session.next_command("review")


def _gate_error(result: AuditResult, following: str) -> GateError:
    if result.is_complete:
        what = f"audit: up to {result.kept['noise'].upper:.2%} of the kept images may be noise"
        found = _listed(next(s.outcomes for s in result.strata if s.name == "kept"))
    else:
        what = "audit: the sample is not fully reviewed"
        found = f"{result.num_looks:,} of {result.num_sampled:,} reviewed"
    return GateError(what, expected=f"at most {result.goal:.2%} (95 %)", found=found, next_step=following)


def _lines(result: AuditResult, did: str) -> list[str]:
    record = result.record
    rows = f"{sum(record.sizes.values()) + sum(record.judged_sizes.values()):,} images covered"
    lines = [f"audit  {record.stage} {record.manifest_sha256[:12]} · {rows} · {did or 'sample drawn before'}"]
    lines.append(f"  reviewed {result.num_looks:,} of {result.num_sampled:,}, shuffled: {_parts(result)}")
    for name, text in (
        ("unsure", "unsure: bad in the bounds of the kept set"),
        ("undecided", "on which annotators disagree"),
    ):
        num = sum(getattr(s, f"num_{name}") for s in result.strata)
        lines += [f"  {num:,} {text}"] if num else []
    if not result.num_looks:
        return [*lines, _plan_line(result)]
    lines.append("")
    lines.append(f"  {'left in the kept set':<30}{'share':>9}   {'95 % interval':<20}one-sided bound")
    lines += [_row(_words(name), value) for name, value in result.kept.items()]
    if result.dropped:
        lines.append(f"  {'wrongly dropped, by reason':<30}{'share':>9}   {'95 % interval':<20}one-sided bound")
        lines += [_row(_words(name), value) for name, value in result.dropped.items()]
        lines.append("  (all: the bounds of the reasons, weighted by size, with the Bonferroni correction;")
        lines.append("  conservative: the true interval is narrower)")
    return [*lines, "", "  the bounds on the kept set hold however often you look on and ask", _goal_line(result)]


def _plan_line(result: AuditResult) -> str:
    looks = [f"{p['looks']:,.0f} if {p['rate']:.2%} of them are noise" for p in result.plan if p["rate"]]
    none = f"{result.plan[0]['looks']:,.0f} if none is noise"
    return f"  kept images to review for at most {result.goal:.2%}: {', '.join([none, *looks])}"


def _goal_line(result: AuditResult) -> str:
    goal, more = f"{result.goal:.2%} noise images", result.num_more_looks
    if more == 0 and result.is_complete:
        return f"  goal of at most {goal}: reached"
    if more is None:
        return f"  goal of at most {goal}: out of reach after what was found; clean more"
    return f"  goal of at most {goal}: review {more:,} more kept images, if none is noise"


def _parts(result: AuditResult) -> str:
    return " · ".join(f"{s.num_sampled:,} {_words(s.name)}" for s in result.strata)


def _row(name: str, value: Estimate) -> str:
    share = "-" if value.share is None else f"{value.share:.2%}"
    interval = f"{value.low:.2%} .. {value.high:.2%}"
    return f"    {name:<28}{share:>9}   {interval:<20}{value.upper:.2%}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {_words(name)}" for name, n in counts.items())
