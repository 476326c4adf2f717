"""`cleaner export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session
from cleaner.exports.kind import kind_names


@takes(run=("dry_run",))
def export(
    line: CommandLine,
    out: Annotated[Path, typer.Argument(help="Folder or file to write; must not exist yet.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(
            **o.choice(*kind_names()),
            help="What is written, see docs/export.md.",
            show_default="csv, jsonl or parquet if OUT ends so, else folder",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            **o.choice("hardlink", "symlink", "reflink", "copy"),
            help="How to put images into a folder; they are copied where that is impossible. A hardlink is the same "
            "file: do not edit it in place.",
            show_default="hardlink",
        ),
    ] = None,
    repeats: Annotated[
        str | None,
        typer.Option(
            **o.choice("column", "files", "ignore"),
            help="How to write repeats: as columns of numbers and weights, as extra files or rows, or not at all.",
            show_default="column",
        ),
    ] = None,
    dropped: Annotated[
        bool,
        typer.Option(
            "--dropped", help="Write dropped images too; in a folder by reason, and kept ones then go into train/."
        ),
    ] = False,
    convert: Annotated[
        bool, typer.Option("--convert", help="Write formats that the reader does not know, such as GIF, as PNG.")
    ] = False,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="In CSV, put an apostrophe before text that a spreadsheet would run as a formula.",
        ),
    ] = False,
    shard_mb: Annotated[
        int | None, typer.Option(min=1, metavar="MB", help="Size of the shards of --to wds.", show_default="256")
    ] = None,
    image_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where Label Studio finds the images: what stands before their names.",
            show_default="its local files",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every image that is only linked or listed: is it as it was scanned?")
    ] = False,
    from_file: o.FromFile = None,
) -> None:
    """Write the cleaned set in the form that the next program reads, and say how to load it.

    Example: `cleaner export cleaned/ --mode symlink`, `cleaner export cleaned.csv`, `cleaner export shards --to wds`
    """
    session = open_session(line)
    from cleaner.exports.cleaned import Cleaned
    from cleaner.exports.export import export as write
    from cleaner.exports.kind import ExportOptions, find_kind

    given: dict[str, Any] = {"mode": mode, "repeats": repeats, "shard_mb": shard_mb, "image_url": image_url}
    given |= {"dropped": dropped, "convert": convert, "spreadsheet_safe": spreadsheet_safe, "verify": verify}
    given = {name: value for name, value in given.items() if value not in (None, False)}
    kind = find_kind(to, out)
    kind.require(set(given), out)
    with session.workspace.lock_for_reading():
        cleaned = Cleaned.open(session.workspace, from_file=from_file, columns=kind.columns, progress=session.console)
        result = write(cleaned, kind, out, ExportOptions(**given), dry_run=session.options.dry_run)
    session.report_counts(
        f"export  {cleaned.source} -> {out} ({kind.title})",
        {
            "classes": len(result.classes),
            "files": result.num_files,
            "repeats": result.num_repeats,
            "dropped": result.num_dropped,
            "copied instead of linked": result.num_copied,
        },
        warnings=result.warnings,
        use=result.use,
    )
