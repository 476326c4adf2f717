"""`cleaner run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cleaner.cli import options as o
from cleaner.cli.session import open_session

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult


def run(
    images: o.Images,
    workspace: o.WorkspaceDir = Path(),
    seeds: o.SeedsFile = None,
    limit: o.ScanLimit = None,
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
    """All stages, one after the other: scan, noise, labels, balance. Those that are up to date are passed over.

    Example: `cleaner run photos/ -C work/ --seeds seeds.csv`
    """
    session = open_session(
        workspace, config=config, seed=seed, device=device, workers=workers,
        engine=engine, address=address, storage=storage, force=force, quiet=quiet, as_json=as_json,
        verbose=verbose, log_format=log_format, dry_run=dry_run, creates=True, images=images,
        embedding={
            "backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision, "views": views,
        },
    )  # fmt: skip
    from cleaner.stages.balance import run_balance
    from cleaner.stages.labels.run import run_labels
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan
    from cleaner.stages.stage_run import planned

    place, settings = session.workspace, session.config
    stages: dict[str, Callable[[], StageResult]] = {
        "scan": lambda: run_scan(place, images.absolute(), *session.run_args(settings.scan, limit=limit)),
        "noise": lambda: run_noise(place, *session.run_args(settings.noise, seeds=seeds)),
        "labels": lambda: run_labels(place, *session.run_args(settings.labels)),
        "balance": lambda: run_balance(place, *session.run_args(settings.balance)),
    }
    results: list[StageResult] = []
    with session.lock():
        for name, run_stage in stages.items():
            waits = bool(results) and bool(results[-1].would_run)  # a dry run: what it would read is not there yet
            results.append(planned(name, f"{results[-1].record.stage} runs before it") if waits else run_stage())
            session.show(results[-1])
    session.finish(results)
