"""`cleaner train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleaner.cli import options as o
from cleaner.cli.command_line import STAGE, CommandLine, keys, takes
from cleaner.cli.session import Session, open_session

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult


@takes(keys("train"), keys("embedding", but=("views",)), run=(*STAGE, "train_workers"))
def train(line: CommandLine, from_file: o.FromFile = None) -> None:
    """Train a network on the cleaned, balanced set, and measure it on held-out images.

    Example: `cleaner train --val val/`, `cleaner train --backbone resnet18 --teacher labels/models`
    """
    session = open_session(line)
    from cleaner.dataset.stage_documents import read_metrics
    from cleaner.stages.train import CHECKPOINT, run_train

    with session.lock():
        result = run_train(session.workspace, session.config.train, session.options_of("train"), from_file)
    if session.options.dry_run:
        session.report_dry_run(result)
        return
    folder = session.workspace.stage_dir("train")
    _show(session, result, {**read_metrics(folder)}, folder / CHECKPOINT)


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
