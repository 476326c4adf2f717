"""`cleaner run`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cleaner.cli import options as o
from cleaner.cli.command_line import STAGE, CommandLine, keys, takes
from cleaner.cli.session import is_empty_scan, open_session

if TYPE_CHECKING:
    from cleaner.stages.stage_run import StageResult


@takes(keys("noise", "seeds"), keys("scan", "limit"), keys("embedding"), run=(*STAGE, "yes"))
def run(line: CommandLine, images: o.Images) -> None:
    """Run all stages in order: scan, noise, labels, balance. Stages that are up to date are skipped.

    Example: `cleaner run photos/ -C work/ --seeds seeds.csv`
    """
    session = open_session(line, creates=True, images=images)
    from cleaner.stages.balance import run_balance
    from cleaner.stages.labels.run import run_labels
    from cleaner.stages.noise import run_noise
    from cleaner.stages.scan import run_scan
    from cleaner.stages.stage_run import planned

    place, config, options_of = session.workspace, session.config, session.options_of
    stages: dict[str, Callable[[], StageResult]] = {
        "scan": lambda: run_scan(place, images.absolute(), config.scan, options_of("scan")),
        "noise": lambda: run_noise(place, config.noise, options_of("noise")),
        "labels": lambda: run_labels(place, config.labels, options_of("labels")),
        "balance": lambda: run_balance(place, config.balance, options_of("balance")),
    }
    results: list[StageResult] = []
    with session.lock():
        for name, run_stage in stages.items():
            waits = bool(results) and bool(results[-1].would_run)  # a dry run: its input does not exist yet
            results.append(planned(name, f"{results[-1].record.stage} runs before it") if waits else run_stage())
            session.show(results[-1])
            if is_empty_scan(results[-1].record):
                break
    session.finish(results)
