"""`cleaner labels`."""

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.session import open_session
from cleaner.config import RELABEL_ABOVE
from cleaner.errors import UsageError


def labels(
    workspace: o.WorkspaceDir = Path(),
    folds: Annotated[int | None, typer.Option(help="Folds of the cross-training.", show_default="5")] = None,
    top_k: Annotated[
        str | None, typer.Option(metavar="K,…", help="Passes, the coarse one first.", show_default="5,1")
    ] = None,
    max_rounds: Annotated[
        int | None, typer.Option(help="Rounds of pulling back, in each pass.", show_default="8")
    ] = None,
    drop: Annotated[
        str | None,
        typer.Option(
            metavar="KINDS", help="coarse, fine, both (coarse,fine) or none.", show_default="coarse; fine without it"
        ),
    ] = None,
    rule: Annotated[
        str | None, typer.Option(metavar="RULE", help="What is dropped: auto or recipe.", show_default="auto")
    ] = None,
    relabel: Annotated[bool, typer.Option("--relabel", help=f"The same as --relabel-above {RELABEL_ABOVE}.")] = False,
    relabel_above: Annotated[
        float | None,
        typer.Option(
            help="What would be dropped, and has a suggested label this probable, gets it and stays.",
            show_default="never",
        ),
    ] = None,
    pred_probs: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="Your own model's out-of-fold probabilities, instead of round 0."),
    ] = None,
    pred_ids: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file_name of each of its rows, one a line.")
    ] = None,
    clean_split: o.CleanSplit = None,
    from_file: o.FromFile = None,
    config: o.ConfigFile = None,
    learner: o.LearnerName = None,
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
    """Find good images under the wrong class, by cross-training and pulling back.

    Example: `cleaner labels --folds 5 --top-k 5,1`
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
        session.config.labels,
        folds=folds,
        top_k=None if top_k is None else _whole_numbers("--top-k", top_k),
        max_rounds=max_rounds,
        drop=None if drop is None else _kinds(drop),
        rule=rule,
        relabel_above=RELABEL_ABOVE if relabel and relabel_above is None else relabel_above,
        pred_probs=None if pred_probs is None else str(pred_probs),
        pred_ids=None if pred_ids is None else str(pred_ids),
        clean_split=clean_split,
        learner=learner,
    )
    from cleaner.stages.labels.run import run_labels

    with session.lock():
        result = run_labels(session.workspace, settings, options, from_file=from_file)
    session.report(result)


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}", expected="whole numbers with commas between, such as 5,1") from error


def _kinds(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(part.strip() for part in text.split(","))
