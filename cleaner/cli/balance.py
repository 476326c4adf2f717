"""`cleaner balance`."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.session import open_session
from cleaner.errors import UsageError


def balance(
    workspace: o.WorkspaceDir = Path(),
    min_count: Annotated[
        int | None, typer.Option(help="Classes with fewer kept images are looked at.", show_default="50")
    ] = None,
    low_count: Annotated[
        str | None, typer.Option(help="What becomes of them: auto, review, drop, keep.", show_default="auto")
    ] = None,
    floor: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Repeat classes up to this share of the largest.", show_default="1/3"),
    ] = None,
    max_repeats: Annotated[int | None, typer.Option(help="No image is repeated more often.", show_default="20")] = None,
    tau: Annotated[float | None, typer.Option(help="Strength of the logit adjustment.", show_default="1")] = None,
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
    """Judge small classes, say how often to repeat each image, and write the class priors.

    Example: `cleaner balance --min-count 50 --floor 1/3`
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
        session.config.balance,
        min_count=min_count,
        low_count=low_count,
        floor=None if floor is None else _share(floor),
        max_repeats=max_repeats,
        tau=tau,
        clean_split=clean_split,
    )
    from cleaner.stages.balance import run_balance

    with session.lock():
        result = run_balance(session.workspace, settings, options, from_file=from_file)
    session.report(result)


def _share(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--floor {text}", expected="a share such as 1/3 or 0.33") from error
