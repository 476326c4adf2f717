"""`cleaner noise`."""

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.session import open_session


def noise(
    workspace: o.WorkspaceDir = Path(),
    seeds: o.SeedsFile = None,
    threshold: Annotated[
        float | None, typer.Option(help="Noise images are those with a probability above this.", show_default="0.9")
    ] = None,
    max_rounds: Annotated[int | None, typer.Option(help="Stop after so many rounds.", show_default="10")] = None,
    clean_split: o.CleanSplit = None,
    from_file: o.FromFile = None,
    config: o.ConfigFile = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    image_size: o.ImageSize = None,
    precision: o.Precision = None,
    views: o.Views = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
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
    """Find images that belong to no class: maps, tables, charts, logos, screenshots, pages of text.

    Example: `cleaner noise --seeds seeds.csv`
    """
    session = open_session(
        workspace, config=config, seed=seed, device=device, workers=workers,
        engine=engine, address=address, storage=storage, force=force, quiet=quiet, as_json=as_json,
        verbose=verbose, log_format=log_format, dry_run=dry_run,
        embedding={
            "backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision, "views": views,
        },
    )  # fmt: skip
    settings, options = session.run_args(
        session.config.noise, seeds=seeds, threshold=threshold, max_rounds=max_rounds, clean_split=clean_split
    )
    from cleaner.stages.noise import run_noise

    with session.lock():
        result = run_noise(session.workspace, settings, options, from_file=from_file)
    session.report(result)
