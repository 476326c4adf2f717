"""`cleaner train`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleaner.cli import options as o
from cleaner.cli.session import Session, open_session
from cleaner.errors import UsageError

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult


def train(
    workspace: o.WorkspaceDir = Path(),
    val: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Class folders to measure on.", show_default="the other splits"),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="See `cleaner recipes`.", show_default="final")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images.", show_default="the recipe's")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.", show_default="the recipe's")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its peak.", show_default="the recipe's")] = None,
    prior: Annotated[
        str | None, typer.Option(help="Logit adjustment: bias, loss or none.", show_default="bias")
    ] = None,
    tau: Annotated[float | None, typer.Option(help="Strength of the logit adjustment.", show_default="1")] = None,
    flood: Annotated[
        float | None, typer.Option(metavar="B", help="Keep the training loss about B.", show_default="no flooding")
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Checkpoint, or a folder of them, to learn from too; repeatable."),
    ] = None,
    teacher_share: Annotated[float | None, typer.Option(help="Weight of the teachers.", show_default="0.5")] = None,
    norm_momentum: Annotated[
        float | None, typer.Option(help="What a step keeps of batch norm's statistics.", show_default="0.9")
    ] = None,
    freeze_norm: Annotated[
        bool | None, typer.Option("--freeze-norm", help="Leave those statistics alone.", show_default="not")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without gain after which to stop.", show_default="never")
    ] = None,
    scratch: Annotated[
        bool | None, typer.Option("--scratch", help="Begin with random weights.", show_default="pre-trained ones")
    ] = None,
    compiled: Annotated[
        bool | None, typer.Option("--compile", help="Compile the network (torch.compile).", show_default="not")
    ] = None,
    test_size: Annotated[
        int | None, typer.Option(help="Side in pixels at prediction.", show_default="as in training")
    ] = None,
    scales: Annotated[
        str | None, typer.Option(metavar="S,…", help="Scales of prediction, averaged.", show_default="1")
    ] = None,
    crops: Annotated[int | None, typer.Option(help="1 or 5 parts at scales above 1.", show_default="1")] = None,
    from_file: o.FromFile = None,
    config: o.ConfigFile = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    image_size: o.ImageSize = None,
    precision: o.Precision = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    workers: o.Workers = 0,
    train_workers: o.TrainWorkers = 1,
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
    """Train a network on the cleaned, balanced set, and measure it on held-out images.

    Example: `cleaner train --val val/`, `cleaner train --backbone resnet18 --teacher labels/models`
    """
    session = open_session(
        workspace, config=config, seed=seed, device=device, workers=workers, train_workers=train_workers,
        engine=engine, address=address, storage=storage, force=force, quiet=quiet, as_json=as_json, verbose=verbose,
        log_format=log_format, dry_run=dry_run,
        embedding={"backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision},
    )  # fmt: skip
    settings, options = session.run_args(
        session.config.train, val=val, recipe=recipe, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, prior=prior, tau=tau, flood=flood,
        teacher=[str(path.resolve()) for path in teacher] if teacher else None, teacher_share=teacher_share,
        norm_momentum=norm_momentum, freeze_norm=freeze_norm, patience=patience, scratch=scratch, compile=compiled,
        test_size=test_size,
        scales=None if scales is None else _numbers(scales), crops=crops,
    )  # fmt: skip
    from cleaner.stages.train import CHECKPOINT, METRICS, run_train

    with session.lock():
        result = run_train(session.workspace, settings, options, from_file=from_file)
    if dry_run:
        session.console.result([f"train   {f'would run: {result.would_run}' if result.would_run else 'up to date'}"])
        session.finish([result])
        return
    folder = session.workspace.stage_dir("train")
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    _show(session, result, metrics, folder / CHECKPOINT)


def _show(session: Session, result: StageResult, metrics: dict[str, Any], checkpoint: Path) -> None:
    for warning in result.warnings:
        session.console.warn(warning)
    record, counts = result.record, result.record.counts
    head = [f"{counts['images']:,} images", f"{counts['classes']:,} classes", record.backbone["name"], record.device]
    head.append(
        "up to date, nothing done (--force runs it again)" if result.was_current else f"{record.seconds:,.1f} s"
    )
    lines = [f"train   {' · '.join(head)}"]
    if metrics["val_images"]:
        sizes = [f"{k} {v:.1%}" for k, v in metrics["recall_by_class_size"].items() if v is not None]
        lines.append(f"  accuracy {metrics['accuracy']:.1%} on {metrics['val_images']:,} images of {metrics['val']}")
        lines.append(f"  mean recall {metrics['mean_recall']:.1%} · {' · '.join(sizes)}")
        lines.append(f"  average precision {metrics['average_precision']:.1%}")
    session.console.result([*lines, f"  {checkpoint}"])
    body = {"was_current": result.was_current} | dataclasses.asdict(record) | {"metrics": metrics}
    session.console.document({"workspace": str(session.workspace.root.resolve())} | body)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scales {text}", expected="numbers with commas between, such as 1,1.25") from error
