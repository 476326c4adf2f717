"""`cleaner status`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import Session, open_session
from cleaner.cli.summaries import listed
from cleaner.diagnostics.expected_wrong import about_wrong

if TYPE_CHECKING:
    from cleaner.diagnostics.status import StageState, Status

_ONE = {
    "doubtful noise images": "doubtful noise image",
    "label issues that are kept": "label issue that is kept",
    "copies under several labels": "copy under several labels",
    "classes for review": "class for review",
    "images or classes on which people differ": "image or class on which people differ",
}
"""What waits for people, where it is one."""


@takes(config=True)
def status(
    line: CommandLine,
    images: Annotated[
        bool | None,
        typer.Option("--images/--no-images", help="Check the images against the scan.", show_default="if they are few"),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Name up to N items of each kind that waits for people.")
    ] = 0,
) -> None:
    """Show each stage, whether it is stale and why, what waits for people, and the next command.

    Example: `cleaner status -C work/`
    """
    session = open_session(line)
    from cleaner.diagnostics.status import read_status

    found = read_status(session.workspace, session.config, check_images=images, num_examples=limit)
    session.console.result(_lines(found, session))
    commands = {"next": session.next_command(found.next_command)}
    session.console.document({k: v for k, v in dataclasses.asdict(found).items() if k != "next_command"} | commands)


def _lines(found: Status, session: Session) -> list[str]:
    lines = [f"workspace {found.workspace}"]
    if found.images_root:
        seen = "" if found.images_checked else " (not compared with the scan; --images does)"
        lines.append(f"images    {found.images_root}{seen}")
    for state in found.stages:
        lines += [f"  {state.stage:<9}{state.state:<12}{_counts(state)}".rstrip()]
        lines += [f"           {state.why}"] if state.why else []
        if leaks := state.counts.get("split_leaks"):
            lines.append(f"           pictures shared by splits: {listed(leaks)} (scan --drop leaks)")
        if within := state.counts.get("copies_within"):
            lines.append(f"           copies within splits: {listed(within)}")
    lines += ["waits for people"] if found.waiting else ["nothing waits for people"]
    for waiting in found.waiting:
        named = _ONE.get(waiting.what, waiting.what) if waiting.num == 1 else waiting.what
        what = ", ".join(filter(None, [named, about_wrong(waiting.expected_wrong, waiting.num)]))
        lines.append(f"  {waiting.num:,} {what}  ·  {session.next_command(waiting.command)}")
        lines += [f"    {name}" for name in waiting.examples]
    return [*lines, session.next_line(found.next_command, starts_cold=found.starts_cold)]


def _counts(state: StageState) -> str:
    if not state.counts:
        return ""
    dropped = f" · {listed(state.counts['dropped'])}" if state.counts["dropped"] else ""
    return f"{state.counts['rows']:,} files · {state.counts['kept']:,} kept{dropped}"
