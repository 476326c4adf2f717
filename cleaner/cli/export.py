"""`cleaner export`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session


@takes(run=("dry_run",))
def export(
    line: CommandLine,
    out: Annotated[Path, typer.Argument(help="Folder or table to write; must not exist yet.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(
            **o.choice("folder", "csv"),
            help="A folder that ImageFolder reads, or a table.",
            show_default="csv if OUT ends in .csv, .tsv, .jsonl or .parquet, else folder",
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            **o.choice("hardlink", "symlink", "copy"),
            help="How to put images into the folder. A hardlink is the same file: do not edit it in place.",
        ),
    ] = "hardlink",
    repeats: Annotated[
        str | None,
        typer.Option(
            **o.choice("files", "csv", "ignore"),
            help="How to write repeats: as extra files or rows, as a column of numbers, or not at all.",
            show_default="files; csv in a table",
        ),
    ] = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", help="Write dropped images too, by reason; kept ones then go into train/.")
    ] = False,
    convert: Annotated[
        bool,
        typer.Option("--convert", help="Write formats that ImageFolder does not read, such as GIF, as PNG."),
    ] = False,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="In CSV, put an apostrophe before text that a spreadsheet would run as a formula.",
        ),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every image that is only linked or listed: is it as it was scanned?")
    ] = False,
    from_file: o.FromFile = None,
) -> None:
    """Write the cleaned set as folders that torchvision's ImageFolder reads, or as a table.

    Example: `cleaner export cleaned/ --mode symlink --dropped`, `cleaner export cleaned.csv`
    """
    session = open_session(line)
    from cleaner.dataset import exporters
    from cleaner.dataset.export_files import Mode
    from cleaner.dataset.lineage import open_parent
    from cleaner.dataset.manifest import read_manifest
    from cleaner.dataset.tables import is_table_name
    from cleaner.dataset.verdicts import read_verdicts

    dry_run = session.options.dry_run
    as_table = to == "csv" or (to is None and is_table_name(out))
    how = cast(exporters.Repeats, repeats or ("csv" if as_table else "files"))
    with session.workspace.lock_for_reading():
        source = open_parent(session.workspace, "export", from_file, read_verdicts(session.workspace))
        manifest = read_manifest(source.path, exporters.COLUMNS, optional=["repeats"])
        if as_table:
            result = exporters.export_csv(
                manifest,
                out,
                repeats=how,
                dropped=dropped,
                spreadsheet_safe=spreadsheet_safe,
                verify_in=source.images_root if verify else None,
                progress=session.console,
                dry_run=dry_run,
            )
        else:
            result = exporters.export_folder(
                manifest,
                source.images_root,
                out,
                mode=cast(Mode, mode),
                repeats=how,
                dropped=dropped,
                convert=convert,
                verify=verify,
                progress=session.console,
                dry_run=dry_run,
            )
    session.report_counts(
        f"export  {source.name} -> {out}",
        {
            "classes": len(result.classes),
            "files": result.num_files,
            "repeats": result.num_repeats,
            "dropped": result.num_dropped,
            "copied instead of linked": result.num_copied,
        },
        warnings=result.warnings,
    )
