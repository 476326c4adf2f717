"""`cleaner balance`."""

from cleaner.cli import options as o
from cleaner.cli.command_line import STAGE, CommandLine, keys, takes
from cleaner.cli.session import open_session


@takes(keys("balance"), keys("embedding"), run=STAGE)
def balance(line: CommandLine, from_file: o.FromFile = None) -> None:
    """Judge small classes, say how often to repeat each image, and write the class priors.

    Example: `cleaner balance --min-count 50 --floor 1/3`
    """
    session = open_session(line)
    from cleaner.stages.balance import run_balance

    with session.lock():
        result = run_balance(session.workspace, session.config.balance, session.options_of("balance"), from_file)
    session.report(result)
