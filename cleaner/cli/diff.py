"""`cleaner diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.console import Console

if TYPE_CHECKING:
    from cleaner.diagnostics.diff import Change, Difference, SettingChange

_SHOWN_CLASSES = 10
_RESULT = "Workspace, whose last complete stage counts, or a manifest.parquet."


@takes(but=("workspace", "verbose", "log_format"))
def diff(
    line: CommandLine,
    a: Annotated[Path, typer.Argument(metavar="A", help=_RESULT)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_RESULT)],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="List every image that changed here: .html for a page, else .csv or .parquet."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Name up to N images of each change.")] = 3,
) -> None:
    """Show what changed between two results: by reason, class, label and setting, with examples.

    Images are matched by file name. Only the two manifests and stage records are read.

    Example: `cleaner diff before/ after/ --out changed.csv`
    """
    console = Console(quiet=line.quiet, as_json=line.as_json)
    from cleaner.diagnostics.diff import compare

    found = compare(a, b, limit)
    if out is not None and out.suffix.lower() == ".html":
        from cleaner.report.diff_page import write_diff_page

        write_diff_page(out, found)
    elif out is not None:
        from cleaner.dataset.tables import write_table_file

        write_table_file(out, found.images)
    console.result([*_lines(found), *([f"{out}: {len(found.images):,} images"] if out else [])])
    console.document(found.document() | {"out": str(out or "")})


def _lines(found: Difference) -> list[str]:
    lines = []
    for name, side in (("A", found.a), ("B", found.b)):
        lines.append(f"{name}  {side.file}  {side.stage} · {side.rows:,} files · {side.kept:,} kept")
    lines += [f"  setting  {_setting(change)}" for change in found.settings]
    counts = {
        "files are in A only": found.only_a,
        "files are in B only": found.only_b,
        "files have other content": found.content_changed,
        "kept images are repeated another number of times": found.repeats_changed,
    }
    lines += [f"  {num:,} {what}" for what, num in counts.items() if num]
    if found.only_a == found.a.rows:
        what = "no file name is in both, so nothing is compared: A and B need the same images root"
        return [*lines, what]
    if not found.num_changed:
        return [*lines, "no image in both is kept, dropped or labelled otherwise"]
    lines.append(f"{found.num_changed:,} images are kept, dropped or labelled otherwise")
    lines += _table(found.fates)
    lines += ["labels", *_table(found.labels)] if found.labels else []
    lines.append("classes")
    for one in found.classes[:_SHOWN_CLASSES]:
        lines.append(
            f"  {one.changed:>7,} of {one.size:,}  {one.label}  ({one.kept_a:,} kept in A, {one.kept_b:,} in B)"
        )
    more = len(found.classes) - _SHOWN_CLASSES
    return [*lines, *([f"  and {more:,} more classes"] if more > 0 else [])]


def _table(changes: list[Change]) -> list[str]:
    width = max(len(f"{c.a} -> {c.b}") for c in changes) if changes else 0
    return [f"  {c.count:>7,}  {f'{c.a} -> {c.b}':<{width}}  {', '.join(c.examples)}".rstrip() for c in changes]


def _setting(change: SettingChange) -> str:
    if not change.name:
        return f"{change.stage} ran in {'A' if change.a else 'B'} only"
    return f"{change.stage}.{change.name}: {change.a} in A, {change.b} in B"
