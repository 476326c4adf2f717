"""`cleaner export`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from cleaner.cli import options as o
from cleaner.cli.session import one_of, open_session


def export(
    out: Annotated[Path, typer.Argument(help="Folder or table to write; must not exist yet.", show_default=False)],
    to: Annotated[str, typer.Option(help="folder (for ImageFolder) or csv (a table).")] = "folder",
    mode: Annotated[
        str, typer.Option(help="hardlink (the same file: do not edit it in place), symlink or copy.")
    ] = "hardlink",
    repeats: Annotated[
        str | None,
        typer.Option(
            help="Repeated images: as further files (rows), in a table (column) csv, or ignore.",
            show_default="files; csv with --to csv",
        ),
    ] = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", help="Write the dropped images too, by reason; train/ is a folder then.")
    ] = False,
    from_file: o.FromFile = None,
    workspace: o.WorkspaceDir = Path(),
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Write the cleaned set as folders that torchvision's ImageFolder reads, or as a table.

    Example: `cleaner export --to folder cleaned/ --mode symlink --dropped`
    """
    one_of("--to", to, ("folder", "csv"))
    one_of("--mode", mode, ("hardlink", "symlink", "copy"))
    repeats = repeats or ("files" if to == "folder" else "csv")
    one_of("--repeats", repeats, ("files", "csv", "ignore"))
    session = open_session(
        workspace, quiet=quiet, as_json=as_json, verbose=verbose, log_format=log_format, dry_run=dry_run
    )
    from cleaner.dataset import exporters
    from cleaner.dataset.lineage import open_parent
    from cleaner.dataset.manifest import read_manifest
    from cleaner.dataset.verdicts import read_verdicts

    how = cast(exporters.Repeats, repeats)
    with session.lock():
        source = open_parent(session.workspace, "export", from_file, read_verdicts(session.workspace))
        manifest = read_manifest(source.path, exporters.COLUMNS, optional=["repeats"])
        if to == "csv":
            result = exporters.export_csv(manifest, out, repeats=how, dropped=dropped, dry_run=dry_run)
        else:
            result = exporters.export_folder(
                manifest, source.images_root, out, mode=cast(exporters.Mode, mode), repeats=how, dropped=dropped,
                progress=session.console, dry_run=dry_run,
            )  # fmt: skip
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
