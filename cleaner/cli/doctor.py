"""`cleaner doctor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cleaner.cli import options as o
from cleaner.cli.session import open_session


def doctor(
    workspace: o.WorkspaceDir = Path(),
    config: o.ConfigFile = None,
    backbone: o.Backbone = None,
    weights: o.Weights = None,
    image_size: o.ImageSize = None,
    precision: o.Precision = None,
    device: o.Device = "auto",
    workers: o.Workers = 0,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    as_json: o.Json = False,
    log_format: o.LogFormat = "text",
    debug: o.Debug = False,
) -> None:
    """What this machine has, and what a run here would use: versions, devices, backbone, free disk.

    Example: `cleaner doctor -C work/`
    """
    session = open_session(
        workspace, config=config, device=device, workers=workers, quiet=quiet, as_json=as_json,
        verbose=verbose, log_format=log_format, creates=True,
        embedding={"backbone": backbone, "weights": weights, "image_size": image_size, "precision": precision},
    )  # fmt: skip
    from cleaner.diagnostics.doctor import examine

    found = examine(workspace, session.config, device=device, workers=workers)
    lines = []
    for title, values in dataclasses.asdict(found).items():
        if isinstance(values, dict):
            lines += [title, *(f"  {name:<13}{_shown(name, value)}" for name, value in values.items())]
    problems = [f"problem: {p}" for p in found.problems] or ["no problems found"]
    session.console.result([*lines, *problems])
    session.console.document(dataclasses.asdict(found))


def _shown(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 1e9:,.1f} GB"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
