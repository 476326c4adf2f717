"""`cleaner run`."""

from pathlib import Path

from cleaner.cli import options as o
from cleaner.cli.session import given, open_session


def run(
    images: o.Images,
    workspace: o.WorkspaceDir = Path(),
    seeds: o.SeedsFile = None,
    config: o.ConfigFile = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    image_size: o.ImageSize = None,
    precision: o.Precision = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    workers: o.Workers = 0,
    force: o.Force = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """All stages, one after the other: scan, noise, labels, balance. Those that are up to date are passed over.

    Example: `cleaner run photos/ -C work/ --seeds seeds.csv`
    """
    session = open_session(
        workspace, config=config, seed=seed, device=device, workers=workers, force=force, quiet=quiet, as_json=as_json,
        creates=True,
        embedding={"backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision},
    )  # fmt: skip
    from cleaner.stages.balance import run_balance
    from cleaner.stages.labels import run_labels
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan

    place, options, settings = session.workspace, session.options, session.config
    results = []
    with place.lock():
        for stage in (
            lambda: run_scan(place, images.absolute(), settings.scan, options),
            lambda: run_noise(place, given(settings.noise, seeds=seeds), options),
            lambda: run_labels(place, settings.labels, options),
            lambda: run_balance(place, settings.balance, options),
        ):
            results.append(stage())
            session.show(results[-1])
    session.finish(results)
