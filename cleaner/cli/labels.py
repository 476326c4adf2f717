"""`cleaner labels`."""

from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import STAGE, CommandLine, keys, takes
from cleaner.cli.session import open_session
from cleaner.config import RELABEL_ABOVE


@takes(keys("labels"), keys("embedding"), run=STAGE)
def labels(
    line: CommandLine,
    relabel: Annotated[bool, typer.Option("--relabel", help=f"The same as --relabel-above {RELABEL_ABOVE}.")] = False,
    from_file: o.FromFile = None,
) -> None:
    """Find good images with a wrong label, by cross-training and pulling back.

    Example: `cleaner labels --folds 5 --top-k 5,1`
    """
    if relabel:
        line = line.or_else(("labels", "relabel_above"), RELABEL_ABOVE, "--relabel")
    session = open_session(line)
    from cleaner.stages.labels.run import run_labels

    with session.lock():
        result = run_labels(session.workspace, session.config.labels, session.options_of("labels"), from_file)
    session.report(result)
