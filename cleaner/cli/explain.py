"""`cleaner explain`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session

if TYPE_CHECKING:
    from cleaner.diagnostics.explain import Explanation


@takes()
def explain(
    line: CommandLine,
    files: o.Files,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Show at most N neighbours and N copies.")] = 5,
) -> None:
    """Show what each stage saw, scored and decided for an image, round by round, with its copies and neighbours.

    Example: `cleaner explain cat/0017.jpg -C work/`
    """
    session = open_session(line)
    from cleaner.diagnostics.explain import explain_images

    found = explain_images(session.workspace, files, limit)
    for explanation in found:
        session.console.result(_lines(explanation, limit))
    session.console.document({"images": [dataclasses.asdict(e) for e in found]})


def _lines(e: Explanation, limit: int) -> list[str]:
    lines = [e.file_name, f"  {e.verdict}", f"  image_id {e.image_id or '(none)'}"]
    for stage in e.stages:
        lines += [f"  {stage['stage']}", *(f"    {words}" for words in stage["words"])]
    if e.copies:
        lines.append(f"  copies ({len(e.copies)})")
        lines += [f"    {c['kind']:<6} {c['file_name']}  {_fate(c)}" for c in e.copies[:limit]]
    if e.neighbours:
        lines.append("  nearest by what the network sees")
        lines += [f"    {n['cosine']:.3f}  {n['file_name']}  {_fate(n)}" for n in e.neighbours]
    if e.decisions:
        lines.append("  decisions")
        lines += [f"    {_decision(d)}" for d in e.decisions]
    return lines


def _fate(row: dict[str, object]) -> str:
    return f"label {row['label']}, {'kept' if row['keep'] else row['drop_reason']}"


def _decision(d: dict[str, object]) -> str:
    verdict = f"undoes decision {d['undoes_seq']}" if not d["verdict"] else f"{d['verdict']} {d['label']}".strip()
    by = f" by {d['annotator']}" if d["annotator"] else ""
    return f"{d['seq']}  {d['kind']}: {verdict}{by}, {d['time_utc']}{' (in force)' if d['in_force'] else ''}"
