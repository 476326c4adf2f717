"""`cleaner scan`."""

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.session import given, open_session


def scan(
    images: o.Images,
    workspace: o.WorkspaceDir = Path(),
    label_from: Annotated[
        str | None,
        typer.Option(help="root: first folder below IMAGES; parent: the file's own folder.", show_default="root"),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table with file_name,label (CSV, TSV, Parquet).")
    ] = None,
    follow_symlinks: Annotated[
        bool | None, typer.Option("--follow-symlinks", help="Admit links that lead out of IMAGES.", show_default=False)
    ] = None,
    near_radius: Annotated[
        int | None, typer.Option(help="Near duplicates differ in at most so many of 128 bits; 0: off.")
    ] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Larger images are refused before decoding.")] = None,
    config: o.ConfigFile = None,
    seed: o.Seed = 0,
    workers: o.Workers = 0,
    force: o.Force = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Look at every file: readable or not, label, size, exact and near duplicates.

    Example: `cleaner scan photos/ -C work/`
    """
    session = open_session(
        workspace, config=config, seed=seed, workers=workers, force=force, quiet=quiet, as_json=as_json, creates=True
    )
    settings = given(
        session.config.scan,
        label_from=label_from,
        labels_file=labels,
        follow_symlinks=follow_symlinks,
        near_radius=near_radius,
        max_pixels=max_pixels,
    )
    from cleaner.stages.scan import run_scan

    with session.workspace.lock():
        result = run_scan(session.workspace, images.absolute(), settings, session.options)
    session.report(result)
