"""`cleaner check`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.session import open_session
from cleaner.cli.summaries import listed
from cleaner.errors import GateError, UsageError

if TYPE_CHECKING:
    from cleaner.stages.check.run import CheckResult

_SETTINGS = ("label_from", "labels_file", "columns", "class_names", "splits", "follow_symlinks", "near_radius")


@takes(keys("scan", *_SETTINGS), run=("device", "workers"), but=("workspace",))
def check(
    line: CommandLine,
    images: o.Images,
    against: Annotated[
        Path, typer.Option("--against", metavar="WORK", help="Workspace of the earlier run; it is only read.")
    ],
    adds_to_known: Annotated[
        bool,
        typer.Option(
            "--grown",
            help="IMAGES is a copy of the run's own folder with more in it: files that the run knows under the same "
            "name are passed over.",
        ),
    ] = False,
    fail_over: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Exit 4 if a larger share of the new files has a problem.", show_default="no gate"
        ),
    ] = None,
    ignore: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Problems that the gate does not count, such as near_copy,exact_copy."),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a row for every new file here: .csv, .tsv, .jsonl or .parquet."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Name up to N files with a problem.")] = 20,
) -> None:
    """Judge new images by the models and decisions of an earlier run, in seconds and without a new run.

    Faults, copies of known images, noise images and wrong labels; classes that the run does not know.

    Example: `cleaner check incoming/ --against work/ --fail-over 0.05`
    """
    if fail_over is not None and not 0 <= fail_over < 1:
        raise UsageError(f"--fail-over {fail_over}", expected="a share from 0, such as 0.05, to below 1")
    session = open_session(dataclasses.replace(line, workspace=against), images=images)
    from cleaner.dataset.tables import write_table_file
    from cleaner.stages.check.run import PROBLEMS, run_check

    ignored = tuple(filter(None, (name.strip() for name in ignore.split(","))))
    if unknown := sorted(set(ignored) - set(PROBLEMS)):
        raise UsageError(f"--ignore {','.join(unknown)}", expected=f"any of {', '.join(PROBLEMS)}")
    with session.workspace.lock_for_reading():
        result = run_check(
            session.workspace, images.absolute(), session.config.scan, session.options, adds_to_known=adds_to_known
        )
    for warning in result.warnings:
        session.console.warn(warning)
    if out is not None:
        write_table_file(out, result.findings)
    bad = result.count_bad(ignored)
    passed = fail_over is None or bad <= fail_over * result.num_checked
    session.console.result([*_lines(result, against, limit), *([f"  {out}"] if out else [])])
    gate = None if fail_over is None else {"fail_over": fail_over, "ignored": list(ignored), "passed": passed}
    session.console.document(_document(result, bad) | {"gate": gate, "out": str(out or "")})
    if not passed:
        session.fail(
            GateError(
                f"check: {bad:,} of {result.num_checked:,} new files have a problem ({bad / result.num_checked:.1%})",
                expected=f"at most {fail_over:.1%}",
                found=listed({name: num for name, num in result.counts.items() if name not in ignored}),
                next_step="mend or remove them, or let people say what they are: cleaner decide",
            )
        )


def _document(result: CheckResult, bad: int) -> dict[str, Any]:
    findings = result.findings[result.findings["problems"] != ""]
    records = findings.astype(object).where(findings.notna(), None).to_dict("records")
    for record in records:
        record["problems"] = record["problems"].split(",")
    return {
        "checked": result.num_checked,
        "seen": result.num_seen,
        "bad": bad,
        "counts": result.counts,
        "findings": records,
    }


def _lines(result: CheckResult, against: Path, limit: int) -> list[str]:
    known = f" · {result.num_seen:,} known already" if result.num_seen else ""
    bad = result.findings[result.findings["problems"] != ""]
    lines = [f"check  {result.num_checked:,} new files against {against}{known} · {len(bad):,} with a problem"]
    if result.counts:
        lines.append(f"  {listed(result.counts)}")
    for row in bad.head(limit).itertuples():
        lines.append(f"  {row.file_name}  {_words(row)}")
    more = len(bad) - limit
    return [*lines, *([f"  and {more:,} more"] if more > 0 else [])]


def _words(row: Any) -> str:
    details = {
        "unreadable": row.fault,
        "unknown_class": row.label,
        "exact_copy": row.copy_of,
        "near_copy": row.copy_of,
        "noise": f"{row.noise_prob:.2f}",
        "wrong_label": f"{row.suggested_label or '?'} rather than {row.label}, {row.label_issue_prob:.2f}",
    }
    return "; ".join(
        name.replace("_", " ") + (f" ({details[name]})" if details.get(name) else "")
        for name in row.problems.split(",")
    )
