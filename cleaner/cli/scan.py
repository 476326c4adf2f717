"""`cleaner scan`."""

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.session import open_session


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
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Drop images that are any of blurry, bright, dark, low_information, odd_aspect, odd_size.",
            show_default="none is dropped",
        ),
    ] = None,
    clean_split: o.CleanSplit = None,
    limit: o.ScanLimit = None,
    config: o.ConfigFile = None,
    seed: o.Seed = 0,
    workers: o.Workers = 0,
    engine: o.Engine = "local",
    address: o.Address = "",
    storage: o.Storage = "",
    force: o.Force = False,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Look at every file: readable or not, label, size, quality, exact and near duplicates.

    Example: `cleaner scan photos/ -C work/`, `cleaner scan photos/ --drop blurry,dark`
    """
    session = open_session(
        workspace, config=config, seed=seed, workers=workers,
        engine=engine, address=address, storage=storage, force=force, quiet=quiet, as_json=as_json,
        verbose=verbose, log_format=log_format, dry_run=dry_run, creates=True, images=images,
    )  # fmt: skip
    settings, options = session.run_args(
        session.config.scan,
        label_from=label_from,
        labels_file=labels,
        follow_symlinks=follow_symlinks,
        near_radius=near_radius,
        max_pixels=max_pixels,
        limit=limit,
        drop=None if drop is None else [name.strip() for name in drop.split(",") if name.strip() not in ("", "none")],
        clean_split=clean_split,
    )
    from cleaner.stages.scan import run_scan

    with session.lock():
        result = run_scan(session.workspace, images.absolute(), settings, options)
    session.report(result)
