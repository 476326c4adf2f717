"""`cleaner noise`."""

from cleaner.cli import options as o
from cleaner.cli.command_line import STAGE, CommandLine, keys, takes
from cleaner.cli.session import open_session


@takes(keys("noise"), keys("embedding"), run=STAGE)
def noise(line: CommandLine, from_file: o.FromFile = None) -> None:
    """Find images that belong to no class: maps, tables, charts, logos, screenshots, pages of text.

    Example: `cleaner noise --seeds seeds.csv`
    """
    session = open_session(line)
    from cleaner.stages.noise import run_noise

    with session.lock():
        result = run_noise(session.workspace, session.config.noise, session.options_of("noise"), from_file)
    session.report(result)
