"""`cleaner plan`."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cleaner.cli import options as o
from cleaner.cli.session import open_session

if TYPE_CHECKING:
    from cleaner.stages.plan import Plan


def plan(
    images: o.Images,
    workspace: o.WorkspaceDir = Path(),
    config: o.ConfigFile = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    image_size: o.ImageSize = None,
    precision: o.Precision = None,
    views: o.Views = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    workers: o.Workers = 0,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """Estimate time, memory and disk of a whole run on this machine, from a short trial on the images themselves.

    Example: `cleaner plan photos/`
    """
    session = open_session(
        workspace, config=config, seed=seed, device=device, workers=workers, quiet=quiet, as_json=as_json,
        verbose=verbose, log_format=log_format, creates=True, images=images,
        embedding={
            "backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision, "views": views,
        },
    )  # fmt: skip
    from cleaner.stages.plan import plan_run

    found = plan_run(images.absolute(), session.config, session.options)
    following = session.next_command(f"run {images}")
    session.console.result([*_lines(found), f"next: {following}"])
    session.console.document(dataclasses.asdict(found) | {"next": following})


def _lines(found: Plan) -> list[str]:
    size = f"{found.num_files:,} files · {found.num_bytes / 1e6:,.0f} MB · {found.num_classes:,} classes"
    rates = f"{found.scan_rate:,.0f} files a second scanned · {found.embedding_rate:,.0f} images a second embedded"
    return [
        f"plan    {size} · {found.num_tried:,} tried in {found.trial_s:,.0f} s",
        f"  {rates}",
        *(f"  {name:<11}{_duration(seconds):>9}" for name, seconds in found.seconds.items()),
        f"  {'total':<11}{_duration(found.total_s):>9}",
        f"  memory {_sizes(found.total_memory_bytes, found.memory_bytes)}",
        f"  disk {_sizes(found.total_disk_bytes, found.disk_bytes)}",
    ]


def _duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


def _sizes(total: int, parts: dict[str, int]) -> str:
    listed = " · ".join(f"{name} {num / 1e6:,.0f}" for name, num in parts.items())
    return f"{total / 1e6:,.0f} MB at most: {listed}"
